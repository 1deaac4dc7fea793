"""The product as a user runs it: its processes on a database of their own, and merchants with producers' keys."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import httpx2

from domains.customers import service as customers
from domains.merchants import service as merchants
from tests.benchmarks.feeds import CURRENCY, LANDING_HOST, SHARED_DATA
from tests.benchmarks.limits import BEYOND_REACH
from tests.benchmarks.paths import PYTHON, ROOT
from tests.benchmarks.servers import Servers
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.embedded.processes import guarded
from wapsi.migrations import run as migrations
from wapsi.migrations.grants import APP_ROLE
from wapsi.security.signing import new_signing_key

ROLES = ("serve", "worker", "scheduler")
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_POLL_S = 0.05


class ProductBroken(Exception):
    """One of its processes did not start, or ended; the end of its log is in the message."""


class Product:
    """`async with Product(servers, "wapsi") as product:` starts its processes, by default those of `wapsi up`.

    `roles` are `wapsi`'s arguments: a role may occur several times, and have options ("serve --rest").
    """

    def __init__(self, servers: Servers, database: str, *, roles: Sequence[str] = ROLES, queue: int = 0) -> None:
        self._servers = servers
        self._database = database
        self._roles: dict[str, str] = {}
        for role in roles:
            count = sum(role == other for other in self._roles.values())
            self._roles[f"{role} {count + 1}" if count else role] = role
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = servers.folder / database
        http_port, grpc_port = _free_port(), _free_port()
        self._grpc_port = grpc_port
        self.url = f"http://127.0.0.1:{http_port}"
        self.grpc_target = f"127.0.0.1:{grpc_port}"
        self.admin_dsn = servers.postgres.url(database).replace("postgresql+asyncpg", "postgresql")
        self.environment = {
            **_environment(),
            **BEYOND_REACH,
            "WAPSI_DATABASE_URL": servers.postgres.url(database, APP_ROLE),
            "WAPSI_DATABASE_MIGRATION_URL": servers.postgres.url(database),
            "WAPSI_QUEUE_URL": servers.valkey.url(queue),
            "WAPSI_PUBLIC_URL": self.url,
            "WAPSI_HTTP_PORT": str(http_port),
            "WAPSI_GRPC_PORT": str(grpc_port),
            "WAPSI_GRPC_TARGET": self.grpc_target,
            "WAPSI_SECRET_KEY": secrets.token_urlsafe(48),
            "WAPSI_SIGNING_KEY": new_signing_key(),
        }
        self.admin: asyncpg.Pool
        self.http: httpx2.AsyncClient
        self._db: Database

    async def __aenter__(self) -> Self:
        self._folder.mkdir(mode=0o711)
        self._servers.postgres.ensure_database(self._database)
        await migrations.upgrade(self.environment["WAPSI_DATABASE_MIGRATION_URL"])
        # Nothing sets session state through it, so that connections need no reset.
        self.admin = await asyncpg.create_pool(self.admin_dsn, min_size=1, max_size=8, reset=_no_reset)
        self.http = httpx2.AsyncClient(base_url=self.url, timeout=300)
        self._db = Database(_settings(self.environment), role="bench")
        try:
            await self.start_processes()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            await self._close()

    async def _close(self) -> None:
        self.stop_processes()
        await self.http.aclose()
        await self._db.dispose()
        await self.admin.close()

    async def start_processes(self) -> None:
        """Raises ProductBroken."""
        for name in self._roles:
            self._start_process(name)
        deadline = time.monotonic() + _START_LIMIT_S
        while not await self._is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProductBroken(f"Not ready after {_START_LIMIT_S:g} s; logs in {self._folder}.")
            await asyncio.sleep(_POLL_S)

    def _start_process(self, name: str) -> None:
        heartbeat = self._heartbeat(name)
        heartbeat.unlink(missing_ok=True)
        with self._log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                guarded([PYTHON, "-m", "wapsi.cli.roles", *self._roles[name].split()], death_signal=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**self.environment, "WAPSI_HEARTBEAT_FILE": str(heartbeat)},
                start_new_session=True,
            )

    async def _is_ready(self) -> bool:
        beating = all(self._heartbeat(name).exists() for name in self._roles if not name.startswith("serve"))
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", self._grpc_port)
            writer.close()
            return beating and (await self.http.get("/readyz")).status_code == 200
        except (OSError, httpx2.TransportError):
            return False

    def check(self) -> None:
        """Raises ProductBroken when a process has ended: nothing restarts it here."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                lines = self._log(name).read_text(errors="replace").splitlines()[-15:]
                raise ProductBroken("\n".join([f"{name} ended with status {process.returncode}:", *lines]))

    def stop_processes(self) -> None:
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_LIMIT_S
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    @property
    def pids(self) -> Mapping[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    def _heartbeat(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.heartbeat"

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    async def add_merchant(self, slug: str) -> str:
        """An active merchant that may sell what the feeds have; the key of its producer."""
        async with self._db.write() as session:
            new = merchants.NewMerchant(
                slug=slug,
                name=slug,
                currency=CURRENCY,
                deep_link_template="https://go.example/?url={link}&sub={click_id}",
                allowed_landing_hosts=(LANDING_HOST,),
            )
            merchant = await merchants.create_merchant(session, None, new)
            rate = merchants.Rate(
                rate_category="",
                customer_type=merchants.CustomerType.UNKNOWN,
                kind=merchants.RateKind.PERCENT,
                percent_bps=250,
                fixed_minor=None,
                currency=CURRENCY,
            )
            await merchants.publish_rates(session, None, slug, merchants.NewSchedule(rates=(rate,)))
            await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)
            _producer, key = await customers.create_producer(session, slug, [merchant.id])
        return key

    async def empty_offers(self) -> None:
        """As on the first day: offers and all that hangs on them."""
        await self.admin.execute("TRUNCATE offers CASCADE")

    async def settle(self) -> None:
        """Until search has followed, nothing waits in the queue, and the disk has what was written."""
        query = (
            "SELECT (SELECT count(*) FROM catalogues WHERE indexed_version < version)"
            " + (SELECT count(*) FROM syncs WHERE state IN ('queued', 'processing'))"
        )
        while await self.admin.fetchval(query):
            self.check()
            await asyncio.sleep(_POLL_S)
        await self.admin.execute("CHECKPOINT")


async def _no_reset(connection: asyncpg.Connection) -> None:
    pass


def _environment() -> dict[str, str]:
    """Ours, without what would make the processes others than a user's."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == SHARED_DATA
        # Compiled code is kept, as it is for the other tools.
        or not name.startswith(("WAPSI_", "OTEL_", "PG", "PYTHONDONTWRITEBYTECODE"))
    }


def _settings(environment: Mapping[str, str]) -> Settings:
    fields = {name.removeprefix("WAPSI_").lower(): value for name, value in environment.items()}
    values: dict[str, Any] = {name: fields[name] for name in Settings.model_fields if name in fields}
    return Settings(**values)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
