"""A steady stream of GET requests, as its own process: each is due at a fixed moment, whether the ones before are
answered or not, and its latency counts from that moment.

    python -m tests.benchmarks.load_process HOST PORT RATE_PER_S < queries

The first line of standard input is a JSON list of paths. Each further line `{"seconds": S}` runs for S seconds, and
`{"seconds": null}` until the next line, whatever that says. Each run is answered by one JSON line.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvloop

from wapsi.scheduling import answer_soon

_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Run:
    """{path: latencies in ms} by the kind of query, and what went wrong."""

    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def answer(self) -> dict[str, object]:
        every = [value for values in self.latencies_ms.values() for value in values]
        return {
            "requests": len(every) + len(self.failures),
            "failures": len(self.failures),
            "first_failure": self.failures[0] if self.failures else "",
            "p50_ms": percentile(every, 50),
            "p99_ms": percentile(every, 99),
            "p99_ms_by_kind": {kind: percentile(values, 99) for kind, values in sorted(self.latencies_ms.items())},
        }


def percentile(values: list[float], percent: int) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


class Client:
    """HTTP/1.1 with kept connections: as little of its own as can be, since it shares the machine with the server."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> int:
        """The status. Raises OSError, EOFError."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._get(path, connection)
            except asyncio.IncompleteReadError as error:
                # The server closes connections that were idle for some seconds: every client tries again then.
                if error.partial:
                    raise
        return await self._get(path, await asyncio.open_connection(self._host, self._port))

    async def _get(self, path: str, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> int:
        reader, writer = connection
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self._idle.append(connection)
        return int(head.split(b" ", 2)[1])


async def run(client: Client, paths: Iterator[tuple[str, str]], rate_per_s: int, stop: asyncio.Event) -> Run:
    """`paths` are (kind, path)."""
    result = Run()
    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            due_s = started_s + number / rate_per_s
            with_patience = max(0.0, due_s - time.perf_counter())
            try:
                await asyncio.wait_for(stop.wait(), with_patience)
                return result
            except TimeoutError:
                kind, path = next(paths)
                group.create_task(_one(client, kind, path, due_s, result))
    return result


async def _one(client: Client, kind: str, path: str, due_s: float, result: Run) -> None:
    try:
        status = await asyncio.wait_for(client.get(path), _TIMEOUT_S)
    except (OSError, EOFError, TimeoutError, ValueError) as error:
        result.failures.append(f"{path}: {error!r}")
        return
    if status == 200:
        result.latencies_ms.setdefault(kind, []).append((time.perf_counter() - due_s) * 1000)
    else:
        result.failures.append(f"{path}: status {status}")


async def main() -> None:
    host, port, rate_per_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    paths = itertools.cycle([(kind, path) for kind, path in json.loads(sys.stdin.readline())])
    client = Client(host, port)
    # What is measured is how long the server takes, not how long this process waits for a processor.
    answer_soon()
    while line := await asyncio.to_thread(sys.stdin.readline):
        stop = asyncio.Event()
        running = asyncio.ensure_future(run(client, paths, rate_per_s, stop))
        seconds = json.loads(line)["seconds"]
        await (asyncio.to_thread(sys.stdin.readline) if seconds is None else asyncio.sleep(seconds))
        stop.set()
        print(json.dumps((await running).answer()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
