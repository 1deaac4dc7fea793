"""Nothing blocks an event loop: the guard of tests/conftest.py is on in every asynchronous test, and can fail one."""

import re
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

TESTS = Path(__file__).parents[1]
GUARD = "nothing_blocks_the_loop"
# Where it is replaced, and why.
REPLACED = {"faults": "its loop serves nobody but the test; what is tested are processes"}


async def test_a_call_that_blocks_fails_the_test() -> None:
    with pytest.raises(BlockingError):
        time.sleep(0.001)  # noqa: ASYNC251
    with pytest.raises(BlockingError):
        Path(__file__).read_bytes()


def test_what_has_no_loop_may_block() -> None:
    time.sleep(0.001)


def test_it_is_on_everywhere_and_replaced_only_where_that_is_stated(request: pytest.FixtureRequest) -> None:
    assert GUARD in request.fixturenames, "it is not used by itself any more"
    defining = {
        file.relative_to(TESTS).parts[0]
        for file in TESTS.rglob("*.py")
        if re.search(rf"^(async )?def {GUARD}\b", file.read_text(), re.MULTILINE)
    }
    assert defining == {"conftest.py", *REPLACED}
