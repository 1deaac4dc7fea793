"""Clicks, as its own process: each of so many callers makes the next click when the one before is answered.

    python -m tests.benchmarks.money_clicks_process URL

The first line of standard input is `{"merchants": [SLUG], "customers": [ID], "tokens": [TOKEN]}`. Each further line
is `{"how": "service" or "http", "callers": N, "seconds": S}`, and is answered by one JSON line. The settings are in
the environment.
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import uvloop

from domains.cashback import service
from tests.benchmarks.load_process import percentile
from wapsi.config import Settings
from wapsi.garbage import calm_collector
from wapsi.roots.container import make_runtime
from wapsi.runtime import Runtime
from wapsi.telemetry.settings import get_telemetry_settings
from wapsi.telemetry.setup import Telemetry

AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"


class Connection(asyncio.Protocol):
    """HTTP/1.1 with one request at a time, and as little of its own as can be."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._answer is not None:
            self._received = b""
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or EOFError("closed"))

    def close(self) -> None:
        self._transport.close()

    async def ask(self, request: bytes) -> int:
        """The status."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class Run:
    def __init__(self, runtime: Runtime, url: str, setup: dict[str, list[str]]) -> None:
        self._runtime = runtime
        self._where = urlsplit(url)
        self._merchants = setup["merchants"]
        self._customers = itertools.cycle([UUID(id) for id in setup["customers"]])
        self._tokens = itertools.cycle(setup["tokens"])
        self._numbers = itertools.count()

    async def run(self, how: str, callers: int, seconds: float) -> dict[str, Any]:
        latencies_ms: list[float] = []
        failures: list[str] = []
        caller = self._service if how == "service" else self._http
        started_s = time.perf_counter()
        await asyncio.gather(
            *(caller(number, started_s + seconds, latencies_ms, failures) for number in range(callers))
        )
        return {
            "seconds": time.perf_counter() - started_s,
            "clicks": len(latencies_ms),
            "failures": failures[:3],
            "p50_ms": percentile(latencies_ms, 50),
            "p99_ms": percentile(latencies_ms, 99),
        }

    async def _service(self, number: int, end_s: float, latencies_ms: list[float], failures: list[str]) -> None:
        desk = service.click_desk_of(self._runtime)
        while (began_s := time.perf_counter()) < end_s:
            customer_id = next(self._customers)
            merchant = self._merchants[next(self._numbers) % len(self._merchants)]
            await desk.submit(customer_id, service.NewClick(merchant=merchant, user_agent=AGENT))
            latencies_ms.append((time.perf_counter() - began_s) * 1000)

    async def _http(self, number: int, end_s: float, latencies_ms: list[float], failures: list[str]) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._where.hostname or "", self._where.port or 80)
        head = (
            f"POST /v1/clicks HTTP/1.1\r\nHost: {self._where.netloc}\r\nUser-Agent: {AGENT}\r\n"
            "Content-Type: application/json\r\n"
        )
        begun = time.time_ns()
        while (began_s := time.perf_counter()) < end_s:
            merchant = self._merchants[next(self._numbers) % len(self._merchants)]
            body = f'{{"merchant":"{merchant}"}}'
            key = f"{begun}-{number}-{len(latencies_ms)}"
            signed_in = f"Authorization: Bearer {next(self._tokens)}\r\n"
            request = f"{head}{signed_in}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            status = await connection.ask(request.encode())
            if status != 201:
                failures.append(str(status))
            latencies_ms.append((time.perf_counter() - began_s) * 1000)
        connection.close()


async def main() -> None:
    runtime = make_runtime(Settings(), Telemetry("bench", get_telemetry_settings()), role="bench")
    run = Run(runtime, sys.argv[1], json.loads(await asyncio.to_thread(sys.stdin.readline)))
    calm_collector(serving=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted = json.loads(line)
        print(json.dumps(await run.run(wanted["how"], wanted["callers"], wanted["seconds"])), flush=True)
    await runtime.db.dispose()


if __name__ == "__main__":
    uvloop.run(main())
