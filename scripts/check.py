"""Runs every check of the project, and the tests last: one line each, the output of those that failed, one verdict.

    python scripts/check.py [--lint] [pytest's arguments]

All run before the verdict, so that one look shows everything that is wrong. `--lint` leaves out the tests.
"""
# ruff: noqa: S603, T201 - running other programs and printing is all this does

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


@dataclass(frozen=True)
class Stage:
    name: str
    command: list[str]
    is_shown: bool = False  # its output is worth seeing as it comes


def stages(arguments: list[str]) -> list[Stage]:
    lint = [
        Stage("ruff check", [str(BIN / "ruff"), "check", "--quiet", "."]),
        Stage("ruff format", [str(BIN / "ruff"), "format", "--check", "--quiet", "."]),
        Stage("mypy", [str(BIN / "mypy")]),
        Stage("lint-imports", [str(BIN / "lint-imports")]),
        Stage("protos", [sys.executable, "protos/generate.py", "--lint"]),
    ]
    if "--lint" in arguments:
        return lint
    parallel = [] if any(argument.startswith("-n") for argument in arguments) else ["-n", "2"]
    # Nobody idles at the end beside one who has a list of tests left.
    parallel += ["--dist", "worksteal"]
    return [*lint, Stage("pytest", [sys.executable, "-m", "pytest", *parallel, *arguments], is_shown=True)]


def coloured(text: str, code: int) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOURED else text


def run(stage: Stage) -> bool:
    """Runs a stage and prints its line; True when it passed."""
    started_at = time.monotonic()
    done = subprocess.run(
        stage.command,
        cwd=ROOT,
        text=True,
        check=False,
        stdout=None if stage.is_shown else subprocess.PIPE,
        stderr=None if stage.is_shown else subprocess.STDOUT,
    )
    took_s = time.monotonic() - started_at
    passed = done.returncode == 0
    mark = coloured("✓", 32) if passed else coloured("✗", 31)
    print(f"{mark} {stage.name:<14} {took_s:6.1f} s", flush=True)
    if not passed:
        print(f"  {coloured('$', 2)} {shlex.join(stage.command)}  (status {done.returncode})")
        for line in (done.stdout or "").rstrip().splitlines():
            print(f"    {line}")
        sys.stdout.flush()
    return passed


def main(arguments: list[str]) -> int:
    failed = [stage.name for stage in stages(arguments) if not run(stage)]
    if failed:
        print(coloured(f"Failed: {', '.join(failed)}", 31))
        return 1
    print(coloured("All checks passed.", 32))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
