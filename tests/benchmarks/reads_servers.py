"""Which server program, and how many workers: uvicorn and granian under the product's own application. No bar.

    python -m tests.benchmarks.reads_servers [--offers N] [--seconds S] [--runs R]

A table for the choice that docs/performance.md states: requests/s of bare ASGI, a hot page, cold pages and the mix.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import reads_programs as programs
from tests.benchmarks.bench import Bench, Options, median
from tests.benchmarks.feeds import FeedsMissing
from tests.benchmarks.load import wrk
from tests.benchmarks.load.lists import write_mix
from tests.benchmarks.load.wrk import Measured
from tests.benchmarks.paths import BENCH, PYTHON
from tests.benchmarks.peers import PeerMissing, _run
from tests.benchmarks.reads import HOT_PAGE, cold_queries
from tests.benchmarks.reads_mix import SHARES
from tests.benchmarks.reads_stage import Stage, stage
from tests.benchmarks.registry import Skipped

GRANIAN = "granian[uvloop]==2.8.9"
_APP = "tests.benchmarks.load.served:app"
_COLD = 60_000
WORKERS = (1, 2)
SUBJECTS = ("hello", "hot page", "cold pages", "mix")


def install_granian() -> Path:
    """The folder of its packages, apart from ours. Raises PeerMissing."""
    folder = BENCH / "peers" / "granian"
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != GRANIAN:
        shutil.rmtree(folder, ignore_errors=True)
        _run([PYTHON, "-m", "pip", "install", "--quiet", "--target", str(folder), GRANIAN])
        mark.write_text(GRANIAN)
    return folder


@contextlib.contextmanager
def serving(
    server: str, app: str, workers: int, staged: Stage, granian: Path | None, environment: Mapping[str, str]
) -> Iterator[str]:
    port = programs.free_port()
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    if server == "granian":
        assert granian is not None
        command = [PYTHON, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--no-ws", *address, app]
        environment = {**environment, "PYTHONPATH": str(granian)}
    else:
        command = [PYTHON, "-m", "uvicorn", app, *programs.UVICORN_OPTIONS, *address]
    path = "/readyz" if app == _APP else "/"
    name = f"{server}-{workers}-{app.rpartition('.')[2].partition(':')[0]}"
    with programs.running(name, command, staged.folder, port=port, path=path, environment=environment) as url:
        yield url


async def compare(bench: Bench, seconds: float) -> Mapping[tuple[str, int], Mapping[str, Sequence[Measured]]]:
    """{(server, workers): {subject: runs}}. Raises Skipped."""
    servers = ["uvicorn"]
    granian = None
    try:
        granian = install_granian()
        servers.append("granian")
    except PeerMissing as reason:
        bench.say(f"granian is left out: {reason}")
    found: dict[tuple[str, int], dict[str, list[Measured]]] = {}
    async with stage(bench) as staged:
        environment = {**staged.product.environment, "WAPSI_DATABASE_PROCESSES": "4"}
        queries = await cold_queries(staged, _COLD)
        files = {
            "hot page": staged.paths("hot", [HOT_PAGE]),
            "cold pages": staged.paths("cold", [query.path for query in queries]),
            "mix": write_mix(staged.folder / "mix.txt", staged.data, await staged.tokens()),
        }
        first = 0
        for run in bench.runs():
            for workers in WORKERS:
                for server in servers:
                    runs = found.setdefault((server, workers), {subject: [] for subject in SUBJECTS})
                    with serving(server, programs.BARE, workers, staged, granian, os.environ) as url:
                        runs["hello"].append(await wrk.pages(url, files["hot page"], seconds=seconds))
                    with serving(server, _APP, workers, staged, granian, environment) as url:
                        await wrk.pages(url, files["hot page"], seconds=2)
                        runs["hot page"].append(await wrk.pages(url, files["hot page"], seconds=seconds))
                        runs["cold pages"].append(
                            await wrk.pages(url, files["cold pages"], seconds=seconds, first=first)
                        )
                        first += runs["cold pages"][-1].requests
                        runs["mix"].append(await wrk.mix(url, files["mix"], seconds=seconds, seed=run, shares=SHARES))
                    said = ", ".join(f"{subject} {runs[subject][-1].rate_per_s:,.0f}/s" for subject in SUBJECTS)
                    bench.say(f"{server}, {workers}: {said}")
    return found


def _print(console: Console, found: Mapping[tuple[str, int], Mapping[str, Sequence[Measured]]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("server")
    for name in ("workers", *SUBJECTS, "p99 of cold", "p99 of mix", "failed"):
        table.add_column(name, justify="right")
    for (server, workers), runs in found.items():
        rates = [f"{median([run.rate_per_s for run in runs[subject]]):,.0f}" for subject in SUBJECTS]
        p99s = [f"{median([run.p99_ms for run in runs[subject]]):.1f} ms" for subject in ("cold pages", "mix")]
        failed = sum(run.errors for subject in SUBJECTS for run in runs[subject])
        table.add_row(server, str(workers), *rates, *p99s, str(failed))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="uvicorn and granian under the product's own application.")
    parser.add_argument("--offers", type=int, default=Options().scale, help="default 15,000,000")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement; default 10")
    parser.add_argument("--runs", type=int, default=3, help="default 3")
    arguments = parser.parse_args()
    console = Console()
    bench = Bench("SERVE", Options(runs=arguments.runs, scale=arguments.offers), console)
    try:
        _print(console, asyncio.run(compare(bench, arguments.seconds)))
    except (Skipped, FeedsMissing) as reason:
        console.print(f"[yellow]Skipped:[/yellow] {reason}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
