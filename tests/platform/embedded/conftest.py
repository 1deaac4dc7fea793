"""State folders for tests: private, removed afterwards with every server that a failed test left running."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wapsi.embedded.processes import end, processes_in


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Reachable for the user that the database runs as, which pytest's own folders are not when root runs it."""
    top = Path(tempfile.mkdtemp(prefix="wapsi-test-"))
    top.chmod(0o711)
    yield top / "state"
    for data in top.glob("**/data"):
        end(processes_in(data), (signal.SIGKILL, 5))
    shutil.rmtree(top)


@pytest.fixture
def notices() -> list[str]:
    return []
