"""ING5: what our processes need at most, for a million offers against 50,000."""

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.feeds import Feed, require_real_feed
from tests.benchmarks.ingestion_peers import push_command
from tests.benchmarks.paths import ROOT
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, Skipped, bar

RATIO_LIMIT = 1.3
LIMIT_MB = 250
_SLUG = "shop"
_POLL_S = 0.05
_LIMIT_S = 3600


@bar("ING5")
async def peak_memory(bench: Bench) -> Sequence[Row]:
    """Processes of their own for each size; the feed is loaded, and then comes again with 5 % changed."""
    require_real_feed()
    if not Path("/proc/self/status").exists():
        raise Skipped("the system does not tell a process's peak memory in /proc")
    small, large = bench.options.size, bench.options.large
    peaks: dict[int, list[Mapping[str, float]]] = {small: [], large: []}
    for _ in bench.runs():
        for size, found in peaks.items():
            found.append(await _peaks_mb(bench, size))
            words = ", ".join(f"{name} {peak:.0f} MB" for name, peak in found[-1].items())
            bench.say(f"{size:,} offers: {words}")
    names = list(peaks[small][0])
    medians = {name: tuple(median([run[name] for run in peaks[size]]) for size in (small, large)) for name in names}
    worst = max(names, key=lambda name: medians[name][1] / medians[name][0])
    floor, value = medians[worst]
    holds = value / floor <= RATIO_LIMIT and all(peak < LIMIT_MB for _, peak in medians.values())
    return [
        Row(
            "ING5",
            f"peak memory for {large:,} offers: {worst}, which grows most",
            value,
            "MB",
            floor,
            f"{worst} for {small:,} offers",
            value / floor,
            f"<= {RATIO_LIMIT:g} and all < {LIMIT_MB} MB",
            holds,
            notes=[
                ", ".join(f"{name} {before:.0f} -> {after:.0f} MB" for name, (before, after) in medians.items()),
            ],
        )
    ]


async def _peaks_mb(bench: Bench, size: int) -> dict[str, float]:
    """{process: MB} after a first load of so many offers and one with 5 % changed, search included."""
    async with bench.product() as product:
        key = await product.add_merchant(_SLUG)
        producers = []
        for revision in (0, 1):
            with bench.folder() as folder:
                path = await asyncio.to_thread(Feed(size, revision=revision).write, folder / "feed.jsonl")
                producers.append(await _push_peak_mb(product, path, key))
            await product.settle()
        return {"producer": max(producers)} | {name: _peak_mb(pid) for name, pid in product.pids.items()}


async def _push_peak_mb(product: Product, path: Path, key: str) -> float:
    """Of `wapsi feed push`, looked at until it ends: a process that has ended tells nothing more."""
    environment = {**product.environment, "WAPSI_PRODUCER_KEY": key}
    process = await asyncio.create_subprocess_exec(
        *push_command(path, _SLUG),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    ending = asyncio.ensure_future(process.communicate())
    peak = 0.0
    try:
        async with asyncio.timeout(_LIMIT_S):
            while not ending.done():
                peak = max(peak, _peak_mb(process.pid))
                product.check()
                await asyncio.wait({ending}, timeout=_POLL_S)
    finally:
        if process.returncode is None:
            process.kill()
        _, said = await ending
    if process.returncode:
        raise RuntimeError(f"wapsi feed push ended with status {process.returncode}:\n{said.decode()[-2000:]}")
    return peak


def _peak_mb(pid: int) -> float:
    """The most that it has had in memory; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if found else 0.0
