"""The table, and the file of results."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.registry import Row


def append_results(path: Path, rows: Sequence[Row]) -> None:
    """One JSON line a row."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row.as_json()) + "\n")


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "what"):
        table.add_column(name)
    for name in ("value", "floor", "ratio", "bar"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("holds")
    for row in rows:
        mark = "[green]yes[/green]" if row.holds else "[red]no[/red]"
        floor = f"{number(row.floor)} {row.unit}"
        table.add_row(
            row.id,
            f"{row.what}\n[dim]against {row.floor_name}[/dim]",
            f"{number(row.value)} {row.unit}",
            floor,
            f"{row.ratio:.2f}",
            row.bar,
            mark,
        )
    console.print(table)
    for row in rows:
        for note in row.notes:
            console.print(f"[dim]{row.id}: {note}[/dim]", highlight=False)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
