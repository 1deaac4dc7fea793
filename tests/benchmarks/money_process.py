"""Reports sales to the service, as its own process: each of so many callers reports the next one when it is answered.

    python -m tests.benchmarks.money_process

Each line of standard input is `{"file": PATH, "first": N, "count": N, "callers": N}`; FILE has one JSON event a line,
its network and a tab before it. The settings are in the environment. Answered by one JSON line.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import uvloop

from domains.cashback import service
from tests.benchmarks.load_process import percentile
from wapsi.config import Settings
from wapsi.garbage import calm_collector
from wapsi.roots.container import make_runtime
from wapsi.runtime import Runtime
from wapsi.telemetry.settings import get_telemetry_settings
from wapsi.telemetry.setup import Telemetry


class Callers:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._sources: dict[str, service.Source] = {}

    async def run(self, lines: list[bytes], callers: int) -> dict[str, object]:
        async with self._runtime.db.read() as session:
            for network in {line.partition(b"\t")[0].decode() for line in lines}:
                self._sources[network] = await service.source_of(session, network)
        outcomes: Counter[str] = Counter()
        latencies_ms: list[float] = []
        rest = iter(enumerate(lines))
        started_s, used_s = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._caller(rest, outcomes, latencies_ms) for _ in range(callers)))
        return {
            "seconds": time.perf_counter() - started_s,
            "processor_s": time.process_time() - used_s,
            "outcomes": dict(outcomes),
            "p50_ms": percentile(latencies_ms, 50),
            "p99_ms": percentile(latencies_ms, 99),
        }

    async def _caller(
        self, rest: Iterator[tuple[int, bytes]], outcomes: Counter[str], latencies_ms: list[float]
    ) -> None:
        for _, line in rest:
            began_s = time.perf_counter()
            network, _, raw = line.partition(b"\t")
            source = self._sources[network.decode()]
            event = service.parse_event(raw)
            # One event a sale and state: its name is the sale's and the status.
            name = f"{event.conversion_id}:{event.status}"
            report = service.Report(name, service.Door.POSTBACK, raw, f"network:{source.name}", event)
            result = await service.intake_of(self._runtime).submit((source, report))
            outcomes[result.outcome] += 1
            latencies_ms.append((time.perf_counter() - began_s) * 1000)


def _lines(path: Path, first: int, count: int) -> list[bytes]:
    with path.open("rb") as file:
        return [line.rstrip(b"\n") for line in islice(file, first, first + count)]


async def main() -> None:
    settings = Settings()
    runtime = make_runtime(settings, Telemetry("bench", get_telemetry_settings()), role="bench")
    callers = Callers(runtime)
    calm_collector(serving=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted = json.loads(line)
        lines = _lines(Path(wanted["file"]), wanted["first"], wanted["count"])
        print(json.dumps(await callers.run(lines, wanted["callers"])), flush=True)
    await runtime.db.dispose()


if __name__ == "__main__":
    uvloop.run(main())
