"""Measures the bars, each against its floor in the same run: `make bench`, or `make bench BARS=ING1,ING2`.

    python tests/benchmarks/run.py [--bars ING1,ING2]

Ends with 0 when all could be measured, whether they hold or not; the rows are put into docs/performance.md.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
import traceback
from dataclasses import fields, replace
from datetime import datetime
from importlib import import_module

# The repository instead of this folder, whose modules have names of their own in `tests.benchmarks`.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[0] = ROOT

from rich.console import Console  # noqa: E402

from tests.benchmarks.bench import Bench, Options, remove_leftovers  # noqa: E402
from tests.benchmarks.feeds import FeedsMissing  # noqa: E402
from tests.benchmarks.paths import BENCH, PAGE, RESULTS  # noqa: E402
from tests.benchmarks.published import publish  # noqa: E402
from tests.benchmarks.registry import BARS, Row, Skipped  # noqa: E402
from tests.benchmarks.report import append_results, print_rows  # noqa: E402

MODULES = (
    "ingestion",
    "ingestion_together",
    "ingestion_peers",
    "ingestion_memory",
    "ingestion_scale",
    "reads",
    "reads_mix",
    "reads_scale",
    "reads_peers",
    "money",
    "money_clicks",
    "money_replay",
)
console = Console()


def main() -> int:
    for module in MODULES:
        import_module(f"tests.benchmarks.{module}")
    arguments = _arguments()
    # As Ctrl-C: servers are stopped, and folders removed.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(os.getpid(), signal.SIGINT))
    remove_leftovers()
    options = replace(Options(), **{field.name: getattr(arguments, field.name) for field in fields(Options)})
    results = RESULTS if options.are_the_bars else BENCH / "development.jsonl"
    rows: list[Row] = []
    broken: list[str] = []
    for id in arguments.bars:
        started_s = time.monotonic()
        try:
            measured = asyncio.run(BARS[id](Bench(id, options, console)))
        except (Skipped, FeedsMissing) as reason:
            console.print(f"[yellow]{id} skipped:[/yellow] {reason}", highlight=False)
            continue
        except Exception:
            traceback.print_exc()
            broken.append(id)
            continue
        rows += measured
        append_results(results, measured)
        if options.are_the_bars:
            publish(PAGE, measured, list(BARS), options.runs, datetime.now().astimezone().date())
        print_rows(console, measured)
        console.print(f"[dim]{id} took {time.monotonic() - started_s:.0f} s[/dim]\n")
    if len(arguments.bars) > 1 and rows:
        print_rows(console, rows)
    if broken:
        console.print(f"[red]Broken: {', '.join(broken)}.[/red] The errors are above.")
    held = sum(row.holds for row in rows)
    console.print(f"[bold]{held} of {len(rows)} bars hold.[/bold]")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the bars, each against its floor in the same run.")
    parser.add_argument("--bars", type=_bars, default=list(BARS), help=f"of {', '.join(BARS)}; default: all")
    development = parser.add_argument_group(
        "for work on the benchmarks themselves",
        "Other numbers than these do not measure the bars: results go to .bench/development.jsonl.",
    )
    for field in fields(Options):
        name = "--" + field.name.replace("_", "-")
        development.add_argument(name, type=int, default=field.default, help=f"default {field.default:,}")
    return parser.parse_args()


def _bars(text: str) -> list[str]:
    # ING2-5pct is a row of ING2.
    wanted = list(dict.fromkeys(id.strip().upper().partition("-")[0] for id in text.split(",") if id.strip()))
    unknown = [id for id in wanted if id not in BARS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(BARS)}")
    return wanted or list(BARS)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        console.print("[red]Stopped.[/red]")
        sys.exit(130)
