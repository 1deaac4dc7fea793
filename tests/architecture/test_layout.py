"""The folder `platform/` lies beside the standard library's module of that name, and must not hide it."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

MAX_LINES = 400
# Longer files, each with its reason. None so far.
LONGER: dict[str, str] = {}


def shadowing(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "platform").iterdir() if path.suffix in (".py", ".pyi", ".so"))


def platform_seen_from(root: Path) -> Path:
    """Where `import platform` leads for a Python that is started in the repository."""
    done = subprocess.run(
        [sys.executable, "-c", "import platform; print(platform.__file__)"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{root}:{root / 'platform'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def test_no_module_lies_in_platform_itself(root: Path) -> None:
    assert shadowing(root) == []


def test_platform_is_the_standard_librarys(root: Path) -> None:
    assert platform_seen_from(root) == Path(sysconfig.get_path("stdlib")) / "platform.py"


def test_these_checks_can_fail(copy_to: Callable[[Path], Path], tmp_path: Path) -> None:
    copy = copy_to(tmp_path)
    assert platform_seen_from(copy) == Path(sysconfig.get_path("stdlib")) / "platform.py"
    (copy / "platform" / "__init__.py").touch()
    assert shadowing(copy) == ["__init__.py"]
    assert platform_seen_from(copy) == copy / "platform" / "__init__.py"


def too_long(sources: list[Path], root: Path) -> list[str]:
    return [
        str(path.relative_to(root))
        for path in sources
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES and str(path.relative_to(root)) not in LONGER
    ]


def test_no_file_is_longer_than_400_lines(sources: list[Path], root: Path) -> None:
    assert len(sources) > 100
    assert too_long(sources, root) == []


def test_a_longer_file_would_be_found(tmp_path: Path) -> None:
    short, long = tmp_path / "short.py", tmp_path / "long.py"
    short.write_text("x = 1\n" * MAX_LINES)
    long.write_text("x = 1\n" * (MAX_LINES + 1))
    assert too_long([short, long], tmp_path) == ["long.py"]


def test_test_folders_are_no_packages(root: Path) -> None:
    """Files of equal names in several folders need importlib mode, and that needs them without __init__.py."""
    assert list((root / "tests").rglob("__init__.py")) == []
