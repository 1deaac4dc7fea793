"""READ3 and READ4: the mix of a shop's day, against bare ASGI, and with telemetry against without."""

from collections.abc import Mapping, Sequence

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.load import wrk
from tests.benchmarks.load.lists import write_mix
from tests.benchmarks.load.wrk import Measured
from tests.benchmarks.reads import latencies, sound
from tests.benchmarks.reads_stage import CUSTOMERS, StagedProduct, seconds_of, stage
from tests.benchmarks.registry import Row, at_least, bar

# Catalogue and search, offer pages, clicks, wallet, writes: of 100.
SHARES = (70, 15, 8, 5, 2)
KINDS = ("catalogue and search", "offer pages", "clicks", "wallet", "writes")
P99_LIMIT = 20.0


@bar("READ3")
async def whole_mix(bench: Bench) -> Sequence[Row]:
    bare: list[Measured] = []
    mixed: list[Measured] = []
    seconds = seconds_of(bench)
    async with stage(bench) as staged:
        tokens = await staged.tokens()
        await staged.require_writes(tokens[0])
        lists = write_mix(staged.folder / "mix.txt", staged.data, tokens)
        # Long enough for the popular pages to be cached, as they are on any day.
        for number, url in enumerate((staged.bare_url, staged.product.url)):
            await wrk.mix(url, lists, seconds=2 * seconds, seed=900 + number, shares=SHARES)
        for run in bench.runs():
            bare.append(sound(await wrk.mix(staged.bare_url, lists, seconds=seconds, seed=run, shares=SHARES)))
            mixed.append(await wrk.mix(staged.product.url, lists, seconds=seconds, seed=run, shares=SHARES))
            bench.say(
                f"hello {bare[-1].rate_per_s:,.0f}/s, mix {mixed[-1].rate_per_s:,.0f}/s, p50 {mixed[-1].p50_ms:.1f} ms,"
                f" p99 {mixed[-1].p99_ms:.1f} ms, {mixed[-1].errors} failed"
            )
        alone = {}
        for number, kind in enumerate(KINDS):
            shares = [int(kind == other) for other in KINDS]
            alone[kind] = await wrk.mix(staged.product.url, lists, seconds=2, seed=800 + number, shares=shares)
    return _rows(bare, mixed, alone)


def _rows(bare: Sequence[Measured], mixed: Sequence[Measured], alone: Mapping[str, Measured]) -> Sequence[Row]:
    rate, floor = (median([run.rate_per_s for run in runs]) for runs in (mixed, bare))
    p50, p99 = (median([getattr(run, name) for run in mixed]) for name in ("p50_ms", "p99_ms"))
    errors = sum(run.errors for run in mixed)
    words, holds = at_least(0.1, rate / floor)
    failed = f"none of {sum(run.requests for run in mixed):,} requests failed"
    if errors:
        failed = f"{errors} failed: {'; '.join(run.error_words for run in mixed if run.errors)}"
    shares = ", ".join(f"{share} % {kind}" for share, kind in zip(SHARES, KINDS, strict=True))
    return [
        Row(
            "READ3",
            "the mix, no request fails",
            rate,
            "requests/s",
            floor,
            "bare ASGI hello on uvicorn, asked the same",
            rate / floor,
            words,
            holds and not errors,
            notes=[
                f"{failed}; {shares}; {CUSTOMERS} customers; 1 thread, {wrk.CONNECTIONS} connections",
                "each kind alone, requests/s: "
                + ", ".join(f"{kind} {run.rate_per_s:,.0f} ({run.errors} failed)" for kind, run in alone.items()),
            ],
        ),
        Row(
            *("READ3-p99", "p99 of the mix", p99, "ms", p50, "its p50", p99 / p50, f"< {P99_LIMIT:g}"),
            p99 / p50 < P99_LIMIT,
        ),
    ]


@bar("READ4")
async def telemetry_cost(bench: Bench) -> Sequence[Row]:
    """Two processes on the same database, measured in turn, the other one idle."""
    off: list[Measured] = []
    on: list[Measured] = []
    seconds = seconds_of(bench)
    async with stage(bench) as staged:
        tokens = await staged.tokens()
        await staged.require_writes(tokens[0])
        lists = write_mix(staged.folder / "mix.txt", staged.data, tokens)
        async with StagedProduct(staged.servers, "silent", roles=("serve",), twin=staged.product) as silent:
            for number, product in enumerate((silent, staged.product)):
                await wrk.mix(product.url, lists, seconds=2 * seconds, seed=900 + number, shares=SHARES)
            for run in bench.runs():
                off.append(sound(await wrk.mix(silent.url, lists, seconds=seconds, seed=2 * run, shares=SHARES)))
                on.append(
                    sound(await wrk.mix(staged.product.url, lists, seconds=seconds, seed=2 * run + 1, shares=SHARES))
                )
                bench.say(f"telemetry off {off[-1].rate_per_s:,.0f}/s, on {on[-1].rate_per_s:,.0f}/s")
    rate, floor = (median([run.rate_per_s for run in runs]) for runs in (on, off))
    words, holds = at_least(0.85, rate / floor)
    note = f"on: {latencies(on)}; off: {latencies(off)}; metrics and traces go to a collector over OTLP"
    return [
        Row(
            *("READ4", "the mix with telemetry", rate, "requests/s", floor, "the same without telemetry"),
            *(rate / floor, words, holds, [note]),
        )
    ]
