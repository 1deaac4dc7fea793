"""How `wapsi top` looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wapsi.cli.top_metrics import Frame, Pool, Timing

_ROWS_MAX = 14
_SLOW_MS, _VERY_SLOW_MS = 250.0, 1000.0
_OLD_S, _VERY_OLD_S = 30.0, 300.0


@dataclass(frozen=True, slots=True)
class QueueRow:
    queue: str
    due: int
    running: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class SyncRow:
    merchant: str
    mode: str
    state: str
    pushed: int
    processed: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """What the database knows; `fault` where it does not answer."""

    queues: Sequence[QueueRow] = ()
    syncs: Sequence[SyncRow] = ()
    fault: str = ""


def render(frame: Frame, work: Work, at: datetime) -> RenderableType:
    parts: list[RenderableType] = [_headline(frame, at)]
    parts += [Text(f"does not answer: {role}", style="bold red") for role in frame.missing]
    parts += [Text(), _timings("requests", frame.routes)]
    if frame.calls:
        parts += [Text(), _timings("gRPC calls", frame.calls)]
    parts += [Text(), _beside(_queues(work), _syncs(work)), Text()]
    parts.append(_beside(_pools(frame.pools), _lags(frame), _cache(frame)))
    return Group(*parts)


def _headline(frame: Frame, at: datetime) -> RenderableType:
    total = frame.total
    text = Text()
    text.append("wapsi top ", style="bold")
    text.append(f"{at:%H:%M:%S}   ", style="dim")
    text.append(f"{total.per_s:,.0f} requests/s", style="bold cyan")
    text.append(f"   p50 {_latency(total.p50_ms)}   p95 {_latency(total.p95_ms)}   p99 {_latency(total.p99_ms)} ms   ")
    text.append(f"{total.errors_per_s:,.1f} errors/s", style="bold red" if total.errors_per_s else "green")
    text.append(f"   {frame.postings_per_s:,.1f} postings/s   ")
    text.append(f"{frame.dead_jobs} dead jobs", style="bold red" if frame.dead_jobs else "green")
    return text


def _timings(title: str, timings: Sequence[Timing]) -> RenderableType:
    table = _table((title, "left"), *((name, "right") for name in ("/s", "p50 ms", "p95 ms", "p99 ms", "errors/s")))
    for timing in timings[:_ROWS_MAX]:
        table.add_row(
            timing.name,
            f"{timing.per_s:,.1f}",
            _coloured(timing.p50_ms),
            _coloured(timing.p95_ms),
            _coloured(timing.p99_ms),
            Text(f"{timing.errors_per_s:,.1f}", style="bold red" if timing.errors_per_s else "dim"),
        )
    if not timings:
        table.add_row(Text("nothing was asked", style="dim"))
    if len(timings) > _ROWS_MAX:
        table.add_row(Text(f"and {len(timings) - _ROWS_MAX} more", style="dim"))
    return table


def _queues(work: Work) -> RenderableType:
    if work.fault:
        return Panel(Text(work.fault, style="red"), title="queues", border_style="red")
    table = _table(("queue", "left"), ("due", "right"), ("running", "right"), ("oldest s", "right"))
    for row in work.queues:
        table.add_row(
            row.queue,
            f"{row.due:,}",
            f"{row.running:,}",
            _graded(row.oldest_s, _OLD_S, _VERY_OLD_S, f"{row.oldest_s:,.1f}"),
        )
    if not work.queues:
        table.add_row(Text("nothing waits", style="dim"))
    return table


def _syncs(work: Work) -> RenderableType:
    table = _table(("sync of", "left"), ("mode", "left"), ("state", "left"), ("progress", "left"), ("age s", "right"))
    for row in work.syncs[:_ROWS_MAX]:
        table.add_row(row.merchant, row.mode, row.state, _progress(row), f"{row.age_s:,.0f}")
    if not work.syncs:
        table.add_row(Text("none runs", style="dim"))
    return table


def _progress(row: SyncRow) -> Text:
    if not row.pushed:
        return Text("–", style="dim")
    done = min(1.0, row.processed / row.pushed)
    filled = round(done * 10)
    return Text(f"{'█' * filled}{'░' * (10 - filled)} {row.processed:,} of {row.pushed:,}")


def _pools(pools: Sequence[Pool]) -> RenderableType:
    table = _table(("pool", "left"), ("used", "right"), ("waiting", "right"))
    for pool in pools:
        share = pool.used / pool.most if pool.most else 0.0
        used = _graded(share, 0.8, 0.99, f"{pool.used} of {pool.most}")
        table.add_row(f"{pool.role} {pool.name}", used, Text(str(pool.waiting), style="red" if pool.waiting else "dim"))
    return table


def _lags(frame: Frame) -> RenderableType:
    table = _table(("loop lag", "left"), ("p50 ms", "right"), ("p99 ms", "right"))
    for role, (p50_ms, p99_ms) in frame.lag_ms.items():
        table.add_row(role, _coloured(p50_ms), _coloured(p99_ms))
    return table


def _cache(frame: Frame) -> RenderableType:
    ratio = frame.cache_hit_ratio
    table = _table(("cache", "left"), ("" if ratio is None else f"{ratio:.1%} from memory", "right"))
    for outcome, per_s in sorted(frame.cache_per_s.items(), key=lambda item: -item[1]):
        table.add_row(outcome.replace("_", " "), f"{per_s:,.1f}/s")
    return table


def _beside(*parts: RenderableType) -> RenderableType:
    grid = Table.grid(padding=(0, 4, 0, 0))
    grid.add_row(*parts)
    return grid


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold dim", padding=(0, 2, 0, 0))
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    return table


def _latency(value_ms: float | None) -> str:
    return "–" if value_ms is None else f"{value_ms:,.1f}"


def _coloured(value_ms: float | None) -> Text:
    return _graded(value_ms or 0.0, _SLOW_MS, _VERY_SLOW_MS, _latency(value_ms))


def _graded(value: float, notable: float, bad: float, words: str) -> Text:
    return Text(words, style="bold red" if value >= bad else "yellow" if value >= notable else "")
