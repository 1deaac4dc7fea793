"""Processes that a test starts, signals and starts again; and the platform that is made of them."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

import wapsi
from domains.customers import service as customers
from domains.merchants import service as merchants
from tests.faults.feeds import Feed
from tests.faults.proxy import FaultProxy
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.embedded import EmbeddedValkey
from wapsi.embedded.processes import guarded
from wapsi.queue import outbox

ROOT = Path(wapsi.__file__).parents[2]
START_LIMIT_S = 60.0
_POLL_S = 0.02
_STARTED_EVENTS = {"serve": "http_started", "worker": "worker_started", "scheduler": "scheduler_started"}


async def until(condition: Any, limit_s: float, what: str, *, every_s: float = _POLL_S) -> Any:
    """What `condition` (a function, async or not) first returns that is true. Fails the test after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        await asyncio.sleep(every_s)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """For a child: the code that is under test here, these settings, and none that happen to be set outside."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WAPSI_", "OTEL_"))}
    return inherited | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"} | dict(settings)


class Process:
    """One program, started as often as a test likes. All signals go to the one process that was started last."""

    def __init__(self, name: str, arguments: Sequence[str], settings: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.output_path = folder / f"{name}.out"
        self.log_path = folder / f"{name}.log"
        self.starts = 0
        self._command = [sys.executable, *arguments]
        self._environment = environment(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status (minus a signal's number); None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Without waiting until it is ready. Output and log are appended to those of the starts before."""
        assert not self.is_running
        with self.output_path.open("ab") as output, self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                guarded(self._command, death_signal=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        self.starts += 1

    async def start(self) -> None:
        """Launches a role and waits until it says that it has started."""
        self.launch()
        await self.until_started()

    async def until_started(self) -> None:
        def has_started() -> bool:
            assert self.is_running, f"{self.name} ended with status {self.status}:\n{self.tail()}"
            return bool(self.events(_STARTED_EVENTS[self.name.partition("-")[0]], since=self._log_start))

        await until(has_started, START_LIMIT_S, f"{self.name} has started", every_s=0.05)

    async def wait(self, limit_s: float) -> int:
        """The exit status."""
        await until(lambda: not self.is_running, limit_s, f"{self.name} has ended")
        assert self.status is not None
        return self.status

    async def kill(self) -> None:
        """SIGKILL; it has ended when this returns."""
        self.send_signal(signal.SIGKILL)
        await self.wait(10)

    async def terminate(self, limit_s: float) -> float:
        """SIGTERM; the seconds that it took to end by itself, with status 0."""
        started_s = time.monotonic()
        self.send_signal(signal.SIGTERM)
        status = await self.wait(limit_s)
        assert status == 0, f"{self.name} ended with status {status}:\n{self.tail()}"
        return time.monotonic() - started_s

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)  # nothing to a process that has ended already

    def end(self) -> None:
        """At the end of a test, however it went."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)

    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects in its output."""
        return _objects(self.output_path, 0)

    def acknowledged(self) -> list[int]:
        """Of a producer's process: the offsets that were acknowledged to it, in order."""
        return [line["done"] for line in self.lines() if line["event"] == "pushing"]

    def events(self, name: str, *, since: int = 0) -> list[dict[str, Any]]:
        """The entries of its log with this event, from that byte on."""
        return [entry for entry in _objects(self.log_path, since) if entry.get("event") == name]

    def tail(self, lines: int = 25) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(line[:400] for line in text.splitlines()[-lines:])

    def peak_memory_mb(self) -> float:
        """The largest it has been since it started or `forget_peak_memory`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024

    def forget_peak_memory(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def _objects(path: Path, start: int) -> list[dict[str, Any]]:
    found = []
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(start)
        for line in file.read().split(b"\n")[:-1]:  # the last one is empty, or still being written
            if line.startswith(b"{"):
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
    return found


@contextlib.asynccontextmanager
async def kept_running(process: Process) -> AsyncIterator[None]:
    """Starts the process again whenever it has ended, as systemd, Kubernetes and `wapsi up` do."""

    async def keep() -> None:
        while True:
            if not process.is_running:
                process.launch()
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(keep())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Queue:
    """The queue server itself, behind the proxy."""

    def __init__(self, folder: Path, *, persist: bool) -> None:
        self._server = EmbeddedValkey(folder, persist=persist)

    @property
    def socket_path(self) -> Path:
        return self._server.socket_path

    async def start(self) -> None:
        self._server.start()  # starts a program from the main thread, so that it ends with us

    async def kill(self) -> None:
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)
        await until(lambda: self._server.pid is None, 10, "the queue server has died")

    async def command(self, *words: str) -> bytes:
        """The raw answer to one short command, straight from the server."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket_path))
        try:
            writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            return await asyncio.wait_for(reader.read(4096), 5)
        finally:
            writer.close()
            await writer.wait_closed()

    async def stop(self) -> None:
        """SIGTERM: what it persists, it writes before it ends."""
        await asyncio.to_thread(self._server.stop)

    def remove(self) -> None:
        self._server.remove()


@dataclass(frozen=True, slots=True)
class Merchant:
    id: UUID
    slug: str
    key: str
    producer_id: UUID


class Platform:
    """A database, a queue server behind a proxy, and the roles that a test asks for. `sql` is the superuser's."""

    def __init__(
        self, folder: Path, settings: dict[str, str], sql: asyncpg.Pool, queue: Queue, proxy: FaultProxy
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.sql = sql
        self.queue = queue
        self.proxy = proxy
        self.db = Database(settings_of(settings), role="faults")
        self.processes: dict[str, Process] = {}
        self._clients = 0

    @property
    def serve(self) -> Process:
        return self.processes["serve"]

    @property
    def worker(self) -> Process:
        return self.processes["worker"]

    @property
    def scheduler(self) -> Process:
        return self.processes["scheduler"]

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.settings['WAPSI_GRPC_PORT']}"

    @property
    def dsn(self) -> str:
        return self.settings["WAPSI_DATABASE_MIGRATION_URL"].replace("postgresql+asyncpg://", "postgresql://")

    async def start(self, *names: str) -> None:
        """Roles by name: serve, worker, scheduler; worker-2 is another worker."""
        for name in names:
            role = name.partition("-")[0]
            self.processes[name] = Process(name, ["-m", "tests.faults.role", role], self.settings, self.folder)
            self.processes[name].launch()
        for name in names:
            await self.processes[name].until_started()

    async def make_merchant(self, slug: str = "shop") -> Merchant:
        """Active, lands on shop.example; with a producer's key."""
        async with self.db.write() as session:
            new = merchants.NewMerchant(
                slug=slug,
                name=slug.title(),
                currency="PKR",
                deep_link_template="https://go.example/?u={link}&c={click_id}",
                allowed_landing_hosts=("shop.example",),
            )
            merchant = await merchants.create_merchant(session, None, new)
            rate = merchants.Rate(
                rate_category="",
                customer_type=merchants.CustomerType.UNKNOWN,
                kind=merchants.RateKind.PERCENT,
                percent_bps=500,
                fixed_minor=None,
                currency="PKR",
            )
            await merchants.publish_rates(session, None, slug, merchants.NewSchedule(rates=(rate,)))
            await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)
            producer, key = await customers.create_producer(session, f"feeds of {slug}", [merchant.id])
        return Merchant(merchant.id, slug, key, producer.id)

    def client(
        self, merchant: Merchant, request_id: str, feed: Feed, *, die_at: int = -1, pause_ms: int = 0
    ) -> Process:
        """A producer of that feed, launched; see client.py."""
        self._clients += 1
        name = f"client-{self._clients}"
        numbers = [str(die_at), str(pause_ms), *feed.arguments()]
        arguments = [self.target, merchant.key, merchant.slug, request_id, *numbers]
        process = Process(name, ["-m", "tests.faults.client", *arguments], {}, self.folder)
        self.processes[name] = process
        process.launch()
        return process

    async def push(self, merchant: Merchant, request_id: str, feed: Feed, *, limit_s: float = 60) -> None:
        """A whole sync that succeeds, by a producer of its own."""
        client = self.client(merchant, request_id, feed)
        status = await client.wait(limit_s)
        assert status == 0, client.tail()
        assert client.lines()[-1]["state"] == "succeeded", client.lines()[-1]

    async def prices(self, merchant: Merchant) -> dict[str, int]:
        """{offer_id: price in minor units} of what is visible."""
        rows = await self.sql.fetch(
            "SELECT offer_id, price_minor FROM offers WHERE merchant_id = $1 AND status = 'active'", merchant.id
        )
        return {row["offer_id"]: row["price_minor"] for row in rows}

    async def sync(self, merchant: Merchant, request_id: str) -> asyncpg.Record | None:
        return await self.sql.fetchrow(
            "SELECT * FROM syncs WHERE merchant_id = $1 AND request_id = $2", merchant.id, request_id
        )

    async def enqueue(self, kind: str, count: int = 1, *, work_ms: int = 0, max_attempts: int = 5) -> list[UUID]:
        """Commits that many jobs, in one transaction."""
        ids = []
        async with self.db.write() as session:
            for n in range(count):
                args = {"n": n, "work_ms": work_ms}
                ids.append(await outbox.enqueue(session, kind, args, max_attempts=max_attempts))
        return [job_id for job_id in ids if job_id is not None]

    async def effects(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """How often each of these jobs had its effect; jobs without one are not in it."""
        rows = await self.sql.fetch(
            "SELECT job_id, count(*)::int AS times FROM fault_effects WHERE job_id = ANY($1) GROUP BY job_id", list(ids)
        )
        return {row["job_id"]: row["times"] for row in rows}

    async def until_done(self, ids: Sequence[UUID], limit_s: float) -> float:
        """Waits until all these jobs have had their effect; the seconds that it took."""
        started_s = time.monotonic()

        async def all_done() -> bool:
            return len(await self.effects(ids)) == len(ids)

        await until(all_done, limit_s, f"{len(ids)} jobs have had their effect", every_s=0.1)
        return time.monotonic() - started_s

    async def stop(self) -> None:
        for process in self.processes.values():
            process.end()
        await self.db.dispose()
        await self.sql.close()
        self.proxy.stop()
        self.queue.remove()


def settings_of(values: Mapping[str, str]) -> Settings:
    fields = {name.removeprefix("WAPSI_").lower(): value for name, value in values.items() if name.startswith("WAPSI_")}
    return Settings(**fields)  # type: ignore[arg-type]  # pydantic reads them, as it would from the environment


def free_port() -> int:
    """Below those that systems give to outgoing connections, so that nobody takes it while its listener is dead."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
