"""A streaming replica of the test run's server, and a pgbouncer in front of that."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from wapsi.embedded.folders import make_folder, socket_folder
from wapsi.embedded.placement import place
from wapsi.embedded.processes import output_of
from wapsi.embedded.server import ServerProcess

_SETTINGS = {
    "listen_addresses": "",
    # At least the primary's, or it would not start.
    "max_connections": "200",
    "shared_buffers": "32MB",
    "fsync": "off",
    # A query that stands in the way of what is to be replayed is ended at once, which a test waits for.
    "max_standby_streaming_delay": "0",
}


class ReplicaServer:
    """A second PostgreSQL that follows the first, in a folder of its own."""

    def __init__(self, folder: Path, primary_url: str) -> None:
        self._placement = place(folder / "postgres", durable=False)
        self._home = home = self._placement.home
        self._data = make_folder(home / "standby", owner=self._placement.run_as)
        self._socket = socket_folder(home / "socket", ".s.PGSQL.5432", self._placement.run_as)
        self._server = ServerProcess("The replica", folder / "replica.log")
        primary = make_url(primary_url).query["host"]
        command = [str(self._placement.programs / "pg_basebackup"), "-h", str(primary), "-U", "postgres"]
        command += ["-D", str(self._data), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        status, _, errors = output_of(command, run_as=self._placement.run_as)
        assert status == 0, errors

    def url(self, primary_url: str) -> str:
        """The same database and user, here."""
        found = make_url(primary_url).update_query_dict({"host": str(self._socket)})
        return found.render_as_string(hide_password=False)

    def start(self) -> None:
        options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._placement.programs / "postgres"), "-D", str(self._data), "-k", str(self._socket), *options]
        self._server.start(command, stop_signal=signal.SIGINT, cwd=Path("/"), run_as=self._placement.run_as)
        ready = [str(self._placement.client_programs / "pg_isready"), "-q", "-h", str(self._socket)]
        self._server.wait_ready(lambda: output_of(ready)[0] == 0, 20)

    def stop(self) -> None:
        self._server.stop((signal.SIGINT, 5), (signal.SIGQUIT, 3))

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._socket, ignore_errors=True)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._server.pid is not None
        return self._server.pid


@pytest.fixture(scope="module")
def replica_server(servers: Any) -> Iterator[ReplicaServer]:
    with tempfile.TemporaryDirectory(prefix="wapsi-replica-") as folder:
        server = ReplicaServer(Path(folder), servers.database("postgres", "postgres"))
        server.start()
        yield server
        server.remove()


POOLED_CONNECTIONS = 6
_PGBOUNCER = """
[databases]
* = host={primary} port=5432
[pgbouncer]
listen_port = 6432
unix_socket_dir = {folder}
unix_socket_mode = 0700
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 400
"""


class PgBouncer:
    """The real one in transaction mode: many clients share POOLED_CONNECTIONS of the server, a user and database."""

    def __init__(self, program: str, folder: Path, primary_url: str) -> None:
        self._program = program
        placement = place(folder / "place", durable=False)
        self._home, self._run_as = placement.home, placement.run_as
        self._folder = socket_folder(self._home / "pgbouncer", ".s.PGSQL.6432", self._run_as)
        self._server = ServerProcess("pgbouncer", folder / "pgbouncer.log")
        primary = make_url(primary_url).query["host"]
        words = _PGBOUNCER.format(primary=primary, folder=self._folder, size=POOLED_CONNECTIONS)
        self._write("pgbouncer.ini", words)
        self._write("users", '"wapsi_app" ""\n"postgres" ""\n')

    def _write(self, name: str, words: str) -> None:
        (self._folder / name).write_text(words)
        if self._run_as is not None:
            os.chown(self._folder / name, self._run_as.uid, self._run_as.gid)

    def url(self, primary_url: str) -> str:
        found = make_url(primary_url).update_query_dict({"host": str(self._folder), "port": "6432"})
        return found.render_as_string(hide_password=False)

    def start(self) -> None:
        command = [self._program, str(self._folder / "pgbouncer.ini")]
        self._server.start(command, stop_signal=signal.SIGTERM, cwd=Path("/"), run_as=self._run_as)
        self._server.wait_ready(lambda: (self._folder / ".s.PGSQL.6432").exists(), 10)

    def remove(self) -> None:
        self._server.stop((signal.SIGTERM, 3))
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._home, ignore_errors=True)


@pytest.fixture(scope="module")
def pgbouncer(servers: Any) -> Iterator[PgBouncer]:
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    with tempfile.TemporaryDirectory(prefix="wapsi-pgbouncer-") as folder:
        server = PgBouncer(program, Path(folder), servers.database("postgres", "postgres"))
        server.start()
        yield server
        server.remove()
