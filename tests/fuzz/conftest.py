"""How what was tried is told: tests here print one line a target, which `make fuzz` shows together."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.security.world import world

__all__ = ["world"]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """`tell("REST, stateful: 1234 cases")`: a line to whoever ran the tests, captured or not."""
    lines: list[str] = []
    yield lines.append
    # Only now: writing blocks, and the test may be on an event loop.
    path = os.environ.get("WAPSI_FUZZ_LINES")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    for line in lines:
        if path:
            with open(path, "a", encoding="utf-8") as told:
                told.write(line + "\n")
        elif reporter is not None:  # a worker of xdist has none
            reporter.write_line(f"fuzz: {line}")
