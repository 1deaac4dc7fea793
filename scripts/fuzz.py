"""Runs the fuzz tests for so many minutes, and says how many cases ran against what, and what was found.

    python scripts/fuzz.py [--minutes 60] [pytest's arguments]

`make test` runs the same tests, small. Here each target tries new examples until its share of the time is over.
"""
# ruff: noqa: S603, T201 - running other programs and printing is all this does

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("tests/fuzz", "tests/domains/offers/feeds/test_fuzz.py")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Fuzzes REST, RPCs, feeds and postbacks.")
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    options, others = parser.parse_known_args(arguments)
    print(f"Fuzzing for about {options.minutes:g} minutes.", flush=True)
    with tempfile.TemporaryDirectory(prefix="wapsi-fuzz-") as folder:
        lines = Path(folder, "lines")
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-q", "--timeout=0", *TARGETS, *others],
            cwd=ROOT,
            env=os.environ | {"WAPSI_FUZZ_MINUTES": str(options.minutes), "WAPSI_FUZZ_LINES": str(lines)},
            check=False,
        )
        print(f"\nAfter {(time.monotonic() - started_s) / 60:.1f} minutes:")
        if lines.exists():
            print("".join(f"  {line}\n" for line in sorted(lines.read_text(encoding="utf-8").splitlines())), end="")
    print("Nothing was found." if done.returncode == 0 else "Something was found: see above.")
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
