"""The table of results that `make bench` keeps in the docs."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from tests.benchmarks.paths import PAGE
from tests.benchmarks.published import BEGIN, END, machine, publish
from tests.benchmarks.registry import Row

ORDER = ["ING1", "ING2", "READ1"]
DAY = date(2026, 3, 7)


def row(id: str, value: float = 2.0, *, holds: bool = True) -> Row:
    return Row(id, "what", value, "s", 1.25, "a | COPY", value / 1.25, "<= 1.6", holds)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "performance.md"
    page.write_text(f"# Before\n\n{BEGIN}\n{END}\n\nAfter.\n")
    return page


def ids(page: Path) -> Sequence[str]:
    return [line.split(" | ")[0][2:] for line in page.read_text().splitlines() if line.startswith("| ")][1:]


def test_a_row_says_all_that_was_measured_when_and_where(page: Path) -> None:
    publish(page, [row("ING1", 1234.5, holds=False)], ORDER, 5, DAY)
    expected = f"| ING1 | 1,234 s | a / COPY: 1.25 s | 987.60 | <= 1.6 | **no** | 7 March 2026, 5 runs, {machine()} |"
    assert expected in page.read_text().splitlines()


def test_what_is_around_the_table_stays(page: Path) -> None:
    publish(page, [row("ING1")], ORDER, 5, DAY)
    text = page.read_text()
    assert text.startswith(f"# Before\n\n{BEGIN}\n| bar |")
    assert text.endswith(f"|\n{END}\n\nAfter.\n")


def test_a_bar_that_was_not_run_keeps_its_row_and_one_that_was_has_one(page: Path) -> None:
    publish(page, [row("ING1", 1.0), row("ING2", 3.0)], ORDER, 5, DAY)
    publish(page, [row("ING1", 2.0)], ORDER, 5, date(2026, 3, 8))
    text = page.read_text()
    assert ids(page) == ["ING1", "ING2"]
    assert "| ING1 | 2 s |" in text
    assert "8 March 2026" in text
    assert "| ING2 | 3 s |" in text
    assert "7 March 2026" in text


def test_rows_are_in_the_order_of_the_bars_whatever_was_run_first(page: Path) -> None:
    publish(page, [row("READ1")], ORDER, 5, DAY)
    publish(page, [row("ING2"), row("ING2-5pct")], ORDER, 5, DAY)
    publish(page, [row("ING1")], ORDER, 5, DAY)
    assert ids(page) == ["ING1", "ING2", "ING2-5pct", "READ1"]


def test_a_page_without_a_place_for_it_is_left_as_it_is(page: Path) -> None:
    page.write_text("# No table\n")
    with pytest.raises(ValueError, match="put them where they belong"):
        publish(page, [row("ING1")], ORDER, 5, DAY)
    assert page.read_text() == "# No table\n"


def test_the_docs_have_the_place() -> None:
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)
