"""MON1 and MON2: conversions posted whole, a second, against pgbench on the same server."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.money_stage import CALLERS, MERCHANTS, Order, Stage, stage
from tests.benchmarks.processes import Helper
from tests.benchmarks.registry import Row, at_least, bar

# As many as a run posts, in some seconds; the first of the file are for warming up.
WARM_UP = 8_000
_FLOOR = "pgbench TPC-B, prepared, 32 clients, same server"


class PostingsBroken(Exception):
    """Not every sale was applied."""


def _orders(first: int, count: int) -> list[Order]:
    return [
        Order(number, 50_000 + number % 997 * 100, 5_000 + number % 997 * 10, ("pending",))
        for number in range(first, first + count)
    ]


@bar("MON1")
async def whole_conversions(bench: Bench) -> Sequence[Row]:
    count, tpcb = bench.options.size, []
    async with stage(bench) as staged, posting(bench, staged, {"spread": False}) as post:
        staged.make_tpcb()
        staged.tpcb_per_s(2)
        for run in bench.runs():
            await staged.admin.execute("CHECKPOINT")
            tpcb.append(staged.tpcb_per_s(8))
            answer = await post("spread", run)
            bench.say(f"pgbench {tpcb[-1]:,.0f}/s, conversions {count / answer['seconds']:,.0f}/s")
    value, floor = median(post.rates["spread"]), median(tpcb)
    limit, holds = at_least(1.5, value / floor)
    what = f"conversions posted whole, {CALLERS} callers in one process, {MERCHANTS} merchants"
    notes = [post.note("spread")]
    return [Row("MON1", what, value, "conversions/s", floor, _FLOOR, value / floor, limit, holds, notes)]


@bar("MON2")
async def one_merchant(bench: Bench) -> Sequence[Row]:
    async with stage(bench) as staged, posting(bench, staged, {"spread": False, "hot": True}) as post:
        for run in bench.runs():
            for name in ("spread", "hot"):
                await post(name, run)
            bench.say(f"all merchants {post.rates['spread'][-1]:,.0f}/s, one {post.rates['hot'][-1]:,.0f}/s")
    value, floor = median(post.rates["hot"]), median(post.rates["spread"])
    limit, holds = at_least(0.8, value / floor)
    what = "conversions posted whole, all of one merchant"
    notes = [post.note("hot")]
    return [Row("MON2", what, value, "conversions/s", floor, "as MON1", value / floor, limit, holds, notes)]


class Posting:
    """Posts the next sales of a file, of which all must be applied. `rates` are conversions a second, by file."""

    def __init__(self, bench: Bench, staged: Stage, helper: Helper, files: Mapping[str, Path]) -> None:
        self._count = bench.options.size
        self._staged = staged
        self._helper = helper
        self._files = files
        self._answers: dict[str, list[Mapping[str, Any]]] = {name: [] for name in files}

    @property
    def rates(self) -> dict[str, list[float]]:
        return {
            name: [self._count / answer["seconds"] for answer in answers] for name, answers in self._answers.items()
        }

    async def warm_up(self) -> None:
        for file in self._files.values():
            self._ask(file, 0, WARM_UP)

    async def __call__(self, name: str, run: int) -> Mapping[str, Any]:
        await self._staged.admin.execute("CHECKPOINT")
        answer = self._ask(self._files[name], WARM_UP + (run - 1) * self._count, self._count)
        self._answers[name].append(answer)
        return answer

    def _ask(self, file: Path, first: int, count: int) -> Mapping[str, Any]:
        answer = self._helper.ask({"file": str(file), "first": first, "count": count, "callers": CALLERS})
        if answer["outcomes"] != {"applied": count}:
            raise PostingsBroken(str(answer["outcomes"]))
        return answer

    def note(self, name: str) -> str:
        answers = self._answers[name]
        p50, p99 = (median([answer[key] for answer in answers]) for key in ("p50_ms", "p99_ms"))
        processor_us = median([answer["processor_s"] for answer in answers]) / self._count * 1e6
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; {processor_us:.0f} µs of the process's processor a conversion"


@contextlib.asynccontextmanager
async def posting(bench: Bench, staged: Stage, hot: Mapping[str, bool]) -> AsyncIterator[Posting]:
    """`hot`: whether all sales of the file are at one merchant. At the end all postings must be there."""
    each = WARM_UP + bench.options.size * bench.options.runs
    bench.say(f"signing {len(hot) * each:,} clicks")
    files = {name: staged.servers.folder / f"{name}.jsonl" for name in hot}
    for position, (name, file) in enumerate(files.items()):
        await staged.write_sales(file, _orders(position * each, each), hot=hot[name])
    with staged.callers() as helper:
        post = Posting(bench, staged, helper, files)
        await post.warm_up()
        yield post
    posted = await staged.admin.fetchval("SELECT count(*) FROM ledger_transactions")
    if posted != len(hot) * each:
        raise PostingsBroken(f"{posted} of {len(hot) * each} postings")
