"""The table of results in docs/performance.md: each bar's last measurement, with its day and its machine."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tests.benchmarks.registry import Row
from tests.benchmarks.report import number

BEGIN = "<!-- results: written by `make bench` -->"
END = "<!-- end of results -->"
_HEAD = (
    "| bar | value | floor | ratio | limit | holds | measured |",
    "|---|---|---|---|---|---|---|",
)


def publish(page: Path, rows: Sequence[Row], order: Sequence[str], runs: int, today: date) -> None:
    """Puts the rows into the page's table, in place of those that it has of the same bars; `order` is that of all bars.

    Raises ValueError when the page has no place for it.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r} around its results; put them where they belong")
    lines = {_id_of(line): line for line in old.splitlines() if line.startswith("| ") and line != _HEAD[0]}
    lines |= {row.id: _line(row, f"{today:%-d %B %Y}, {_runs(runs)}, {machine()}") for row in rows}
    places = {id: place for place, id in enumerate(order)}
    # ING2-5pct is a row of ING2; Python keeps the order in which a bar gave its rows.
    ids = sorted(lines, key=lambda id: places.get(id.partition("-")[0], len(places)))
    table = "\n".join([*_HEAD, *(lines[id] for id in ids)])
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def machine() -> str:
    """Processors, memory and processor type, in a few words."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} processors {platform.machine()}, {memory_gib:.0f} GiB"


def _id_of(line: str) -> str:
    return line.split("|")[1].strip()


def _line(row: Row, measured: str) -> str:
    cells = (
        row.id,
        f"{number(row.value)} {row.unit}",
        f"{row.floor_name}: {number(row.floor)} {row.unit}",
        f"{row.ratio:.2g}" if row.ratio < 1 else f"{row.ratio:.2f}",
        row.bar,
        "yes" if row.holds else "**no**",
        measured,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _runs(runs: int) -> str:
    return f"{runs} runs" if runs > 1 else "1 run"
