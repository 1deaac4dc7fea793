"""What every bar is given: how often to run, where, and a way to say how far it is."""

import contextlib
import shutil
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.benchmarks.paths import BENCH
from tests.benchmarks.product import ROLES, Product
from tests.benchmarks.servers import Servers
from wapsi.embedded import EmbeddedError
from wapsi.embedded.folders import FolderLock

_FOLDER_PREFIX = "run-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Options:
    """Smaller numbers are for work on the benchmarks themselves: the bars are defined by the defaults."""

    runs: int = 5
    size: int = 50_000
    large: int = 1_000_000
    scale: int = 15_000_000
    rate_per_s: int = 100

    @property
    def are_the_bars(self) -> bool:
        return self == Options()


class Bench:
    def __init__(self, id: str, options: Options, console: Console) -> None:
        self._id = id
        self.options = options
        self._console = console

    def runs(self) -> Iterator[int]:
        """1, 2, ... as often as is wanted, and says which."""
        for run in range(1, self.options.runs + 1):
            self.say(f"run {run} of {self.options.runs}")
            yield run

    def say(self, text: str) -> None:
        self._console.print(f"[dim]{self._id:>5} ·[/dim] {text}", highlight=False)

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder on disk, removed afterwards; others than us may pass through it, as the database's user must."""
        BENCH.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX, dir=BENCH, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            folder.chmod(0o711)
            lock = FolderLock(folder / _LOCK, f"{folder} is in use").acquire()
            try:
                yield folder
            finally:
                lock.release()

    @contextlib.asynccontextmanager
    async def servers(self) -> AsyncIterator[Servers]:
        """A database and a queue of their own, durable, until the block ends."""
        with self.folder() as folder:
            servers = Servers(folder)
            try:
                servers.start()
                yield servers
            finally:
                servers.remove()

    @contextlib.asynccontextmanager
    async def product(self, *, roles: Sequence[str] = ROLES) -> AsyncIterator[Product]:
        """Everything started anew: servers, an empty migrated database, the processes."""
        self.say(f"starting PostgreSQL, Valkey, {', '.join(roles)}")
        async with self.servers() as servers, Product(servers, "wapsi", roles=roles) as product:
            yield product


def remove_leftovers() -> None:
    """Folders of runs that were killed: whoever is at work in one holds its lock."""
    for folder in BENCH.glob(f"{_FOLDER_PREFIX}*"):
        try:
            lock = FolderLock(folder / _LOCK, f"{folder} is in use").acquire()
        except EmbeddedError:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
