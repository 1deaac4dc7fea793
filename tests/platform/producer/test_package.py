"""wapsi-producer, the client as a package of its own: whole, small, and of the same needs as the project."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import wapsi.producer

FOLDER = Path(wapsi.producer.__file__).parent
# What it needs, and what that brings along; by the names under which they are imported.
ALLOWED = {"google", "grpc", "grpc_status", "opentelemetry", "packaging", "typing_extensions", "wrapt"}
USE = """
import sys

class OnlyWhatItNeeds:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {allowed} | sys.stdlib_module_names:
            raise ModuleNotFoundError(name)

# The finders of an editable install stand before the usual one.
sys.meta_path[:] = [OnlyWhatItNeeds(), *sys.meta_path[-3:]]
sys.path.insert(0, {folder!r})
import wapsi.producer
print(wapsi.producer.__file__)
{program}
"""

TRACED = """
from opentelemetry import trace
trace.set_tracer_provider(trace.NoOpTracerProvider())
wapsi.producer.Producer('127.0.0.1:1', 'wpk_key')
"""


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=FOLDER, check=True, capture_output=True)
    [wheel] = tmp_path.glob("wapsi_producer-*.whl")
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def use(folder: Path, allowed: set[str], program: str = "") -> subprocess.CompletedProcess[str]:
    """Imports the kit from the folder, in a Python to which nothing else is installed than what is allowed."""
    text = USE.format(folder=str(folder), allowed=allowed, program=program)
    return subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False)


def test_it_has_all_that_it_imports_and_needs_little(unpacked: Path) -> None:
    done = use(unpacked, ALLOWED | {"wapsi"}, TRACED)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(unpacked)


@pytest.mark.parametrize("need", sorted(ALLOWED - {"typing_extensions", "packaging"}))
def test_what_it_needs_would_be_missed(unpacked: Path, need: str) -> None:
    assert "ModuleNotFoundError" in use(unpacked, ALLOWED - {need} | {"wapsi"}, TRACED).stderr


def test_a_program_without_traces_does_not_wait_for_their_library(unpacked: Path) -> None:
    program = "import wapsi.producer\nwapsi.producer.Producer('127.0.0.1:1', 'wpk_key')"
    done = use(unpacked, ALLOWED - {"opentelemetry", "wrapt"} | {"wapsi"}, program)
    assert done.returncode == 0, done.stderr


def test_every_module_of_the_kit_is_in_it(unpacked: Path) -> None:
    packed = {path.name for path in (unpacked / "wapsi" / "producer").iterdir()}
    assert packed == {path.name for path in FOLDER.glob("*.py")}


def test_it_agrees_with_the_project() -> None:
    def project(file: Path) -> dict[str, Any]:
        return tomllib.loads(file.read_text(encoding="utf-8"))["project"]

    own, whole = project(FOLDER / "pyproject.toml"), project(FOLDER.parents[2] / "pyproject.toml")
    assert set(own["dependencies"]) <= set(whole["dependencies"])
    assert (own["version"], own["requires-python"]) == (whole["version"], whole["requires-python"])
