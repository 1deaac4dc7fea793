"""Memory does not grow with the feed, and no feed, however it is made, takes more than a part of a process's share.

Each feed is read in a process of its own (feed_peak.py), whose peak is what the system says.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "feed_peak.py"
MAX_GROWTH_MIB = 8
MAX_PEAK_MIB = 200


def run(kind: str, count: int) -> dict[str, Any]:
    root = Path(__file__).parents[4]
    command = [sys.executable, str(SCRIPT), kind, str(count)]
    environment = {"PYTHONPATH": f"{root}:{root / 'platform'}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("kind", ["json_lines", "csv", "json_array", "xml", "yml", "shopify"])
def test_ten_times_the_rows_take_no_more_memory(kind: str) -> None:
    small, large = run(kind, 20_000), run(kind, 200_000)
    assert [(found["items"], found["errors"], found["reason"]) for found in (small, large)] == [
        (20_000, 0, None),
        (200_000, 0, None),
    ]
    assert large["peak_mib"] <= small["peak_mib"] + MAX_GROWTH_MIB


@pytest.mark.parametrize(
    ("kind", "count", "reason"),
    [
        ("gzip_of_a_gib", 1024, "EXPANSION_TOO_LARGE"),
        ("zip_of_many_files", 300_000, "ZIP_NOT_ONE_FILE"),
        ("xml_row_of_many_elements", 25_000, "RECORD_TOO_LARGE"),
        ("xml_rows_in_new_parents", 60, None),
        ("yml_with_long_categories", 60, None),
        ("laughs", 10, "XML_NOT_A_FEED"),
        ("json_row_of_many_lists", 20_000, "RECORD_TOO_LARGE"),
        ("json_line_of_many_lists", 4, None),
        ("json_lines_without_ends", 200, None),
        ("csv_row_without_an_end", 2_000, "QUOTE_NOT_CLOSED"),
        ("shopify_product_of_large_rows", 300, None),
        ("names_of_their_own", 20_000, None),
        ("values_of_their_own", 50_000, None),
    ],
)
def test_no_feed_takes_the_memory(kind: str, count: int, reason: str | None) -> None:
    found = run(kind, count)
    assert found["reason"] == reason
    assert found["peak_mib"] <= MAX_PEAK_MIB
