"""READ5: the same questions of 15,000,000 offers and of 50,000."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.load import wrk
from tests.benchmarks.load.wrk import Measured
from tests.benchmarks.reads import KINDS, PAGE, cold_queries, sound
from tests.benchmarks.reads_stage import Stage, seconds_of, stage
from tests.benchmarks.registry import Row, at_most, bar

SMALL = 50_000
LIMIT = 1.5
# Few at a time: what is compared is how long an answer takes, not how long it waits for others.
_CONNECTIONS = 4
_PAGES = 40_000
# What is measured is any day, not the first minutes after a start: see population_memory.
_WARM_UP_S = 15.0


@bar("READ5")
async def many_against_few(bench: Bench) -> Sequence[Row]:
    scale, seconds = bench.options.scale, seconds_of(bench)
    measured: dict[tuple[str, str], list[Measured]] = {}
    async with stage(bench, min(SMALL, bench.options.size), name="few") as few, stage(bench, name="many") as many:
        lists = {name: await _lists(staged) for name, staged in (("few", few), ("many", many))}
        stages = {"few": few, "many": many}
        first = dict.fromkeys(lists["few"], KINDS)
        for kind in lists["few"]:
            for name, staged in stages.items():
                await wrk.pages(
                    staged.product.url, lists[name][kind], seconds=_WARM_UP_S, first=_PAGES // 2, connections=4
                )
        for _run in bench.runs():
            for kind in lists["few"]:
                taken = 0
                for name, staged in stages.items():
                    paths = lists[name][kind]
                    run = sound(
                        await wrk.pages(
                            staged.product.url, paths, seconds=seconds, first=first[kind], connections=_CONNECTIONS
                        )
                    )
                    measured.setdefault((kind, name), []).append(run)
                    taken = max(taken, run.requests)
                first[kind] += taken
                bench.say(f"{kind}: {_said(measured, kind)}")
    return [_row(f"READ5-{kind}", kind, scale, measured) for kind in ("listing", "search")]


def _said(measured: Mapping[tuple[str, str], Sequence[Measured]], kind: str) -> str:
    return ", ".join(
        f"{name} p50 {measured[kind, name][-1].p50_ms:.1f} ms p99 {measured[kind, name][-1].p99_ms:.1f} ms"
        for name in ("few", "many")
    )


def _row(id: str, kind: str, scale: int, measured: Mapping[tuple[str, str], Sequence[Measured]]) -> Row:
    value, floor = (median([run.p99_ms for run in measured[kind, name]]) for name in ("many", "few"))
    words, holds = at_most(LIMIT, value / floor)
    rates = {name: median([run.rate_per_s for run in measured[kind, name]]) for name in ("many", "few")}
    p50s = {name: median([run.p50_ms for run in measured[kind, name]]) for name in ("many", "few")}
    note = (
        f"many / few: p50 {p50s['many']:.1f} / {p50s['few']:.1f} ms, {rates['many']:,.0f} / {rates['few']:,.0f}"
        f" requests/s; {_CONNECTIONS} connections, each page another"
    )
    return Row(
        *(id, f"p99 of {kind}, {scale:,} offers", value, "ms", floor, f"the same of {SMALL:,} offers"),
        *(value / floor, words, holds, [note]),
    )


async def _lists(staged: Stage) -> Mapping[str, Path]:
    listing = [query.path for query in await cold_queries(staged, _PAGES)]
    search = search_paths(staged, _PAGES)
    await staged.require([*listing[:KINDS], *search[:KINDS]])
    return {"listing": staged.paths("listing", listing), "search": staged.paths("search", search)}


def search_paths(staged: Stage, count: int) -> list[str]:
    """One word, two of one title, and a word that is only begun; no page twice, as the limit and words differ."""
    rng = random.Random(5)
    titles = [title.split() for title in staged.data.titles]
    paths: dict[str, None] = {}
    for number in range(10 * count):
        words = [word for word in rng.choice(titles) if len(word) >= 3 and word.isalnum()]
        if not words:
            continue
        asked = rng.sample(words, min(len(words), 1 + number % 2))
        if number % 3 == 0:
            asked[-1] = asked[-1][: max(3, len(asked[-1]) - 2)]
        paths[f"/v1/offers?{urlencode({'q': ' '.join(asked), 'limit': PAGE + number % 5})}"] = None
        if len(paths) == count:
            break
    return list(paths)
