import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import wapsi

ROOT = Path(wapsi.__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """Every module that somebody wrote: not the tests, not what is generated."""
    found = [*(ROOT / "domains").rglob("*.py"), *(ROOT / "platform").rglob("*.py")]
    return [path for path in found if "_pb2" not in path.name]


@pytest.fixture(scope="session")
def copy_to() -> Callable[[Path], Path]:
    """Copies what the checks look at into a folder, to be broken there."""

    def copy_to(folder: Path) -> Path:
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("domains", "platform", "protos"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        return folder

    return copy_to
