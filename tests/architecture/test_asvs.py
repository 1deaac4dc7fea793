"""docs/asvs.md answers each requirement once, and names tests that exist; SECURITY.md likewise."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
CHECKLIST, PROMISES = ROOT / "docs" / "asvs.md", ROOT / "SECURITY.md"

# How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has. They come first in each.
COUNTS = """
    1.1:2 1.2:9 1.3:11 1.4:3 1.5:2
    2.1:3 2.2:3 2.3:4 2.4:1
    3.2:2 3.3:4 3.4:6 3.5:5 3.7:2
    4.1:3 4.2:1 4.3:2 4.4:4
    5.1:1 5.2:3 5.3:2 5.4:3
    6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4
    7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2
    8.1:2 8.2:3 8.3:1 8.4:1
    9.1:3 9.2:4
    10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3
    11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1
    12.1:3 12.2:2 12.3:4
    13.1:1 13.2:5 13.3:2 13.4:5
    14.1:2 14.2:4 14.3:3
    15.1:3 15.2:3 15.3:7
    16.1:1 16.2:5 16.3:4 16.4:3 16.5:3
    17.1:1 17.2:4 17.3:2
"""
REQUIREMENTS = {section: int(count) for section, count in (pair.split(":") for pair in COUNTS.split())}
ALL = [f"{section}.{number}" for section, count in REQUIREMENTS.items() for number in range(1, count + 1)]

ROW = re.compile(
    r"^\| (?P<numbers>[\d.*]+(?:, [\d.*]+)*) \| (?P<levels>[12](?:-2)?) \| (?P<asked>.+?) \| (?P<shown>.+) \|$"
)
TEST = re.compile(r"`((?:\w+/)*test_\w+\.py)::(\w+)`")
# A row without a test and without a page of these docs says one of these, and why.
REASONS = (
    "does not apply",
    "*yours*",
    "**Open**",
    "none",
    "ruff",
    "no request starts",
    "there is no such thing",
    "table below",
    "`",
)


def rows(text: str) -> list[re.Match[str]]:
    return [match for line in text.splitlines() if (match := ROW.match(line))]


def answered(text: str) -> list[str]:
    numbers = [number for row in rows(text) for number in row["numbers"].split(", ")]
    return [one for number in numbers for one in _meant(number)]


def _meant(number: str) -> list[str]:
    if number.endswith(".*"):
        return [one for one in ALL if one.startswith(number.removesuffix("*"))]
    return [number]


@cache
def functions_of(file: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def missing(text: str) -> list[str]:
    """Tests that the text names and that are not there."""
    named = [(TESTS / file, test) for file, test in TEST.findall(text)]
    return [f"{file.name}::{test}" for file, test in named if not file.exists() or test not in functions_of(file)]


def test_each_requirement_is_answered_once() -> None:
    found = answered(CHECKLIST.read_text(encoding="utf-8"))
    assert sorted(set(ALL) - set(found)) == []
    assert sorted(number for number in set(found) if number not in ALL or found.count(number) > 1) == []


def test_each_test_that_is_named_exists() -> None:
    assert len(TEST.findall(CHECKLIST.read_text(encoding="utf-8"))) > 100
    for page in (CHECKLIST, PROMISES):
        assert missing(page.read_text(encoding="utf-8")) == [], page.name


def test_each_answer_names_a_test_or_a_page_or_a_reason() -> None:
    for row in rows(CHECKLIST.read_text(encoding="utf-8")):
        shown = row["shown"]
        assert TEST.search(shown) or "](" in shown or any(reason in shown for reason in REASONS), row["numbers"]
        assert "TODO" not in shown, row["numbers"]


def test_each_place_that_the_promises_name_exists() -> None:
    table = PROMISES.read_text(encoding="utf-8").partition("what stops each")[2].partition("\nPaths ")[0]
    places = [(row, re.findall(r"`((?:\w+/)*(?:test_\w+\.py|\w+/))`", row)) for row in table.splitlines()]
    found = [name for row, names in places for name in _whole(names)]
    assert len(found) > 10
    assert [name for name in found if not (TESTS / name).exists()] == []


def _whole(names: list[str]) -> list[str]:
    """Of a row: a name without a folder lies in that of the one before it."""
    whole: list[str] = []
    for name in names:
        folder = whole[-1].rpartition("/")[0] if "/" not in name and whole else ""
        whole.append(f"{folder}/{name}" if folder else name)
    return whole


@pytest.mark.parametrize(
    "wrong", ["`architecture/test_asvs.py::test_nobody_wrote`", "`architecture/test_nothing.py::test_it`"]
)
def test_a_test_that_is_gone_would_be_found(wrong: str) -> None:
    assert missing(f"| 1.1.1 | 2 | something | {wrong} |")
    assert not missing("`architecture/test_asvs.py::test_each_requirement_is_answered_once`")


def test_a_range_stands_for_its_requirements() -> None:
    text = "| 17.1.*, 17.3.* | 2 | something | does not apply |\n| 1.1.1 | 2 | something | none |"
    assert answered(text) == ["17.1.1", "17.3.1", "17.3.2", "1.1.1"]
