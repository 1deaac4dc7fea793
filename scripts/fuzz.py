"""Runs the fuzz tests for so many minutes, and says how many cases ran against what, and what was found.

    python scripts/fuzz.py [--minutes 60] [pytest's arguments]

`make test` runs the same tests, small. Each takes about as many times longer as the scale says; those of REST try new
requests until the time is over, those of RPCs and parsers so many more examples.
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
# What tests/fuzz/test_rest.py and test_walks.py take at scale 1, one after the other.
SECONDS = 20


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Fuzzes REST, RPCs, feeds and postbacks.")
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    options, others = parser.parse_known_args(arguments)
    scale = max(options.minutes * 60 / SECONDS, 1)
    print(f"Fuzzing for about {options.minutes:g} minutes (WAPSI_FUZZ_SCALE={scale:g}).", flush=True)
    with tempfile.TemporaryDirectory(prefix="wapsi-fuzz-") as folder:
        lines = Path(folder, "lines")
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-q", "--timeout=0", *TARGETS, *others],
            cwd=ROOT,
            env=os.environ | {"WAPSI_FUZZ_SCALE": str(scale), "WAPSI_FUZZ_LINES": str(lines)},
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
