"""What is installed from a wheel, without this repository beside it, can do its work."""

import asyncio
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import wapsi
from wapsi.migrations.run import head_revision

ROOT = Path(wapsi.__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a wheel of this repository was unpacked into."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    target = folder / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    return target


def names(folder: Path, pattern: str, base: Path) -> set[str]:
    return {str(path.relative_to(base)) for path in folder.rglob(pattern) if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_module_migration_and_stub(installed: Path) -> None:
    for pattern in ("*.py", "*.pyi", "*.mako"):
        expected = names(ROOT / "domains", pattern, ROOT)
        expected |= names(ROOT / "platform" / "wapsi", pattern, ROOT / "platform")
        assert names(installed, pattern, installed) == expected
    assert (installed / "wapsi" / "rpc" / "offers" / "v1" / "offer_sync_pb2.py").exists()
    assert list((installed / "wapsi" / "migrations" / "versions").glob("0001_*.py"))


def test_nothing_else_is_in_it(installed: Path) -> None:
    """A folder named platform, tests or protos would come to lie beside everybody's modules."""
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"domains", "wapsi"}


async def test_what_is_installed_can_migrate_a_database(installed: Path, servers: Any) -> None:
    admin = await asyncpg.connect(servers.database("postgres", "postgres").replace("+asyncpg", ""))
    await admin.execute("DROP DATABASE IF EXISTS from_wheel WITH (FORCE)")
    await admin.execute("CREATE DATABASE from_wheel")
    code = (
        "import asyncio, platform, sys, wapsi, domains\n"
        "from wapsi.migrations.run import upgrade\n"
        "print(platform.__file__, wapsi.__file__, *asyncio.run(upgrade(sys.argv[1])))"
    )
    # -S leaves out the editable installation; what the wheel depends on is named instead.
    libraries = sysconfig.get_path("purelib")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-S", "-c", code, servers.database("from_wheel", "postgres")],
        cwd=installed.parent,
        env={"PYTHONPATH": f"{installed}:{libraries}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    await admin.execute("DROP DATABASE from_wheel WITH (FORCE)")
    await admin.close()
    assert done.returncode == 0, done.stderr
    standard, *rest = done.stdout.split()
    assert Path(standard).parent == Path(sysconfig.get_path("stdlib"))
    assert rest == [str(installed / "wapsi" / "__init__.py"), "None", head_revision()]
