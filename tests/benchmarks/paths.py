"""Where things are."""

import os
import sys
from pathlib import Path

# Not resolved: a checkout whose benchmarks are a link measures itself.
ROOT = Path(os.path.abspath(__file__)).parents[2]
BENCH = ROOT / ".bench"
RESULTS = BENCH / "results.jsonl"
PAGE = ROOT / "docs" / "performance.md"
PYTHON = sys.executable
WAPSI = str(Path(sys.executable).with_name("wapsi"))
