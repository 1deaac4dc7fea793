"""What `wapsi feed push` shows: how far it is, what became of the rows, and what was wrong with them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wapsi.producer import ProgressReport
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

if TYPE_CHECKING:
    from rich.progress import Progress

console = Console(stderr=True)

STATES = {value: name.removeprefix("SYNC_STATE_").lower() for name, value in pb.SyncState.items()}
LOOKED_AT = 1000
_COUNTERS = (
    ("received", "rows received"),
    ("created", "new offers"),
    ("updated", "changed offers"),
    ("unchanged", "unchanged offers"),
    ("withdrawn_by_item", "deleted by a row"),
    ("stale", "older than what is stored"),
    ("duplicates", "repeated rows of one offer"),
    ("rejected", "rejected rows"),
    ("withdrawn_unseen", "withdrawn, no longer in the feed"),
    ("warnings", "warnings"),
)


def feed_progress() -> "Progress":
    # Imported here: a push that nobody watches does without.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


@contextlib.contextmanager
def shown(name: str) -> Iterator[Callable[[ProgressReport], None]]:
    """Gives what shows a push's progress on a terminal; where nobody watches, nothing is shown."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with feed_progress() as progress:
        yield _Bar(progress, name).show


class _Bar:
    """One bar: items pushed, then items processed."""

    def __init__(self, progress: "Progress", name: str) -> None:
        self._progress = progress
        self._name = name
        self._task = progress.add_task(f"{name} · pushing", total=None)

    def show(self, report: ProgressReport) -> None:
        words = report.phase if not report.resumed else f"{report.phase} (resumed {report.resumed}x)"
        if report.phase == "processing":
            words = STATES[report.sync.state]
        self._progress.update(
            self._task, description=f"{self._name} · {words}", completed=report.done, total=report.total
        )


def print_summary(sync: pb.Sync, seconds: float) -> None:
    """What became of every row, in words."""
    state = STATES[sync.state]
    colour = {"succeeded": "green", "partial": "yellow"}.get(state, "red")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_row("sync", sync.sync_id)
    table.add_row("state", f"[{colour}]{state}[/{colour}]")
    for name, words in _COUNTERS:
        value = getattr(sync.counters, name)
        if value or name in ("received", "created", "updated", "unchanged"):
            table.add_row(words, f"{value:,}")
    table.add_row("time", f"{seconds:.1f} s")
    table.add_row("speed", f"{sync.counters.received / seconds:,.0f} rows/s")
    console.print(table)
    if sync.message:
        console.print(sync.message)


def print_issues(sync_id: str, issues: Sequence[pb.SyncIssue]) -> None:
    """Of LOOKED_AT issues at most: one example of each kind, errors before warnings, and where the others are."""
    kinds: dict[tuple[bool, str, str], list[pb.SyncIssue]] = {}
    for entry in issues:
        is_warning = entry.issue.severity != pb.SEVERITY_ERROR
        kinds.setdefault((is_warning, entry.issue.code, entry.issue.field), []).append(entry)
    table = Table("rows", "first line", "offer", "field", "code", "what to do", "value", box=None, pad_edge=False)
    for (is_warning, code, field), entries in sorted(kinds.items(), key=lambda kind: (kind[0][0], -len(kind[1]))):
        first = entries[0]
        colour = "yellow" if is_warning else "red"
        # Where there are more issues than were looked at, there may be more rows of each kind.
        count = f"{len(entries):,}" + ("+" if len(issues) == LOOKED_AT else "")
        table.add_row(
            count,
            str(first.line or first.offset),
            escape(first.offer_id),
            field,
            f"[{colour}]{code}[/{colour}]",
            escape(first.issue.message),
            escape(first.issue.value),
        )
    console.print(table)
    if len(issues) > len(kinds):
        console.print("All of them, as CSV (with the key that pushed the feed):")
        line = f"curl -s URL/v1/syncs/{sync_id}/issues -H 'Accept: text/csv' -H 'Authorization: Bearer KEY'"
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
