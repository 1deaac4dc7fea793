"""A private PostgreSQL 18 out of a wheel: no installation, no port, no password; a unix socket only we can open."""

import asyncio
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from wapsi.embedded.errors import EmbeddedError, explained, refused
from wapsi.embedded.folders import FolderLock, require_free_space, socket_folder
from wapsi.embedded.placement import MAJOR_VERSION, Placement, place
from wapsi.embedded.processes import clean_environment, end, output_of, processes_in
from wapsi.embedded.server import ServerProcess
from wapsi.embedded.supervisor import Child

SUPERUSER = "postgres"
_PORT = 5432  # part of the socket's name; nothing listens on TCP
_SOCKET_NAME = f".s.PGSQL.{_PORT}"

_COMMON_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "jit": "off",  # its compile time exceeds what it saves on queries as short as ours
    # What shoppers read lies in the system's memory: a copy of it takes less time than to have another process make it.
    "io_method": "sync",
}
_DURABLE_SETTINGS = {
    "max_wal_size": "2GB",
    # Of the methods in the wheel's build there is only pglz, which takes longer than the disk does: a sync that changed
    # 5 % of a catalogue took half as long again.
    "wal_compression": "off",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
}
_DISPOSABLE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """The database of one state folder. Every failure is an EmbeddedError in words.

    `durable=False` is for tests: fast, and lost with the machine's power. `wapsi up` calls `ensure_initialised` and
    hands `child()` to the supervisor; tests call `start` and `stop`.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        durable: bool = True,
        max_connections: int = 100,
        shared_buffers_mb: int | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = Path(os.path.abspath(state_dir)) / "postgres"
        self._durable = durable
        self._max_connections = max_connections
        self._shared_buffers_mb = shared_buffers_mb or (256 if durable else 128)
        self._notice = on_notice or logging.getLogger("wapsi.embedded").info
        self._lock = FolderLock(self._folder / "lock", f"The database in {self._folder} is in use: by wapsi running")
        self.log_path = self._folder.parent / "logs" / "postgres.log"
        self._server = ServerProcess("PostgreSQL", self.log_path)

    @cached_property
    def _placement(self) -> Placement:
        return place(self._folder, durable=self._durable)

    @cached_property
    def socket_dir(self) -> Path:
        """The folder of the server's unix socket, for us (and root) only."""
        return socket_folder(self._placement.home / "socket", _SOCKET_NAME, self._placement.run_as)

    @property
    def pid(self) -> int | None:
        """Of the server that `start` started, while it runs."""
        return self._server.pid

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data folder; outside the state folder where the server's user cannot get into that."""
        return self._placement.home / "data"

    def ensure_initialised(self) -> None:
        """Locks the database, ends what a crash left behind, and makes the data folder where there is none.

        Raises EmbeddedError: in use, no space, another major version, another user's folder.
        """
        home = self._placement.home
        self._lock.acquire()
        try:
            require_free_space(home)
            if self._placement.is_relocated and self._durable:
                user = self._placement.run_as.uid if self._placement.run_as else os.geteuid()
                self._notice(f"User {user}, whom the database runs as, cannot get into {self._folder}: it is in {home}")
            self.clear_leftovers()
            if not self._has_data():
                self._initialise()
            self._check_version()
            _ = self.socket_dir
        except OSError as error:
            self.close()
            raise refused(self.data_dir, error, "prepare the database in") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives up the lock; the server must have ended."""
        self._lock.release()

    def command(self) -> list[str]:
        """The server's command line, to be run as `child()` says."""
        settings = {
            **_COMMON_SETTINGS,
            **(_DURABLE_SETTINGS if self._durable else _DISPOSABLE_SETTINGS),
            "max_connections": str(self._max_connections),
            "shared_buffers": f"{self._shared_buffers_mb}MB",
        }
        program = str(self._placement.programs / "postgres")
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [program, "-D", str(self.data_dir), "-k", str(self.socket_dir), "-p", str(_PORT), *options]

    def child(self) -> Child:
        """What the supervisor runs; `ensure_initialised` comes first, `close` last."""

        async def is_ready() -> bool:
            return await asyncio.to_thread(self.is_ready)

        return Child(
            name="postgres",
            command=self.command(),
            env=clean_environment(),
            cwd=Path("/"),
            run_as=self._placement.run_as,
            ready=is_ready,
            before_start=self.clear_leftovers,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            kill_signal=signal.SIGQUIT,
            log_path=self.log_path,
        )

    def start(self, timeout_s: float = 30) -> None:
        """Initialises, starts and waits until queries are answered."""
        self.ensure_initialised()
        try:
            self._server.start(self.command(), stop_signal=signal.SIGINT, cwd=Path("/"), run_as=self._placement.run_as)
            self.wait_ready(timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops what `start` started: cleanly, and by force when that takes more than 5 seconds."""
        self._server.stop((signal.SIGINT, 5), (signal.SIGQUIT, 3))
        self.close()

    def remove(self) -> None:
        """Stops the server and deletes the data, wherever it lies."""
        self.stop()
        try:
            folders = (self.socket_dir, self._placement.home, self._folder)
        except EmbeddedError:
            return  # there is no place for it, so nothing was ever stored
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def is_ready(self) -> bool:
        """Whether the server takes connections; asks once."""
        program = str(self._placement.client_programs / "pg_isready")
        return output_of([program, "-q", "-h", str(self.socket_dir), "-p", str(_PORT), "-U", SUPERUSER])[0] == 0

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Raises EmbeddedError with the log's last lines when the server ends, or the time does."""
        self._server.wait_ready(self.is_ready, timeout_s)

    def url(self, database: str, user: str = SUPERUSER) -> str:
        """For SQLAlchemy. The port is named, or a PGPORT of the person's own would change the socket's name."""
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql+asyncpg://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={_PORT}"

    def admin_execute(self, sql: str, *, database: str = "postgres", **values: str) -> str:
        """Runs SQL as superuser and gives what it printed: rows as lines, columns parted by '|'.

        `values` are quoted by psql where the SQL says :'name' (a string) or :"name" (an identifier).
        """
        program = str(self._placement.client_programs / "psql")
        command = [program, "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.socket_dir), "-p", str(_PORT)]
        variables = [word for name, value in values.items() for word in ("-v", f"{name}={value}")]
        status, output, errors = output_of([*command, "-U", SUPERUSER, "-d", database, *variables], stdin=sql)
        if status != 0:
            raise explained(f"SQL failed in database {database!r}:", errors)
        return output.rstrip("\n")

    def ensure_database(self, name: str, owner: str = SUPERUSER) -> bool:
        """Makes a database where there is none; whether it did. The owner is an existing role."""
        if self.admin_execute("SELECT 1 FROM pg_database WHERE datname = :'name';", name=name):
            return False
        self.admin_execute('CREATE DATABASE :"name" OWNER :"owner";', name=name, owner=owner)
        return True

    def clear_leftovers(self) -> None:
        """Ends a server that outlived its supervisor, and removes the note of one that was killed.

        Runs under the lock, so nobody else is meant to be using this data. A killed server's helpers end by
        themselves; a new one must not start before, as they may still write.
        """
        note = self.data_dir / "postmaster.pid"
        main = [pid for pid in processes_in(self.data_dir) if pid == _first_number(note)]
        if main:
            self._notice(f"Stopping the database server that an earlier run left behind (pid {main[0]}).")
            end(main, (signal.SIGINT, 5), (signal.SIGQUIT, 3))
        if not end(processes_in(self.data_dir), (0, 1), (signal.SIGQUIT, 2), (signal.SIGKILL, 2)):
            left = ", ".join(map(str, processes_in(self.data_dir)))
            raise EmbeddedError(f"A database server of an earlier run does not stop: end pid {left} by hand.")
        if note.exists():
            self._notice("The database was not stopped cleanly; it recovers from its log.")
            note.unlink()

    def _has_data(self) -> bool:
        """Only a whole folder gets this name from us; anything else is kept aside, as it may be someone's."""
        data = self.data_dir
        if (data / "PG_VERSION").exists() and (data / "global" / "pg_control").exists():
            return True
        if data.exists() and any(data.iterdir()):
            aside = data.with_name(f"data.damaged-{int(time.time())}")
            data.rename(aside)
            self._notice(f"The database folder is not whole. It is kept as {aside}, and a new one is made.")
        elif data.exists():
            data.rmdir()
        return False

    def _initialise(self) -> None:
        unfinished = self.data_dir.with_name("data.unfinished")
        if unfinished.exists():
            self._notice("The database's first start was interrupted; making it again.")
            shutil.rmtree(unfinished)
        command = [str(self._placement.programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "-A", "trust"]
        command += ["-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
        if not self._durable:
            command.append("--no-sync")
        unfinished.mkdir(mode=0o700)
        if run_as := self._placement.run_as:
            os.chown(unfinished, run_as.uid, run_as.gid)
        status, output, errors = output_of(command, run_as=run_as, death_signal=signal.SIGKILL)
        if status != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise explained(f"Could not make the database in {self.data_dir}:", errors or output)
        unfinished.rename(self.data_dir)
        if self._durable:
            _sync_folder(self.data_dir.parent)

    def _check_version(self) -> None:
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise EmbeddedError(
                f"The database in {self.data_dir} was made by PostgreSQL {found}, and this is {MAJOR_VERSION}. "
                f"Dump it with {found} and load it into a new one, or remove {self._folder.parent} to start afresh."
            )


def _first_number(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
