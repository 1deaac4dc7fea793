"""Who may import whom holds, and each rule is seen to catch what it forbids."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


@dataclass(frozen=True)
class Offence:
    """An import that a contract forbids."""

    contract: str
    importer: str
    imported: str


ROOTS_ALONE = "Only the composition roots know both the platform and the domains"
ROOTS_ON_TOP = "Nothing imports the composition roots"
INSIDE = "Inside a domain: router, rpc and actors > service > models"
NO_ROWS = "Routers, servicers and actors see values, never rows"
BETWEEN = "Between domains: cashback > offers > merchants, cashback > customers"

OFFENCES = [
    Offence(NO_ROWS, "domains.offers.router", "domains.offers.models"),
    Offence(NO_ROWS, "domains.merchants.rpc", "domains.merchants.models"),
    Offence(NO_ROWS, "domains.offers.actors", "domains.offers.models"),
    Offence(NO_ROWS, "domains.customers.schemas", "domains.customers.models"),
    Offence(INSIDE, "domains.offers.service.views", "domains.offers.router"),
    Offence(INSIDE, "domains.merchants.models", "domains.merchants.service"),
    Offence(ROOTS_ALONE, "wapsi.http.deps", "domains.customers.service"),
    Offence(ROOTS_ALONE, "wapsi.queue.relay", "domains.offers.actors"),
    Offence(ROOTS_ON_TOP, "wapsi.queue.relay", "wapsi.roots.container"),
    Offence(ROOTS_ON_TOP, "domains.offers.service.views", "wapsi.cli.app"),
    Offence(BETWEEN, "domains.offers.service.views", "domains.cashback.service"),
    Offence(BETWEEN, "domains.merchants.service.refs", "domains.offers.service"),
    Offence(BETWEEN, "domains.offers.service.views", "domains.customers.service"),
    Offence("customers knows no other domain", "domains.customers.service.refs", "domains.merchants.service"),
    Offence("merchants is entered through its service", "domains.offers.service.views", "domains.merchants.models"),
    Offence("merchants is entered through its service", "domains.offers.service.views", "domains.merchants.errors"),
    Offence("offers is entered through its service", "domains.cashback.errors", "domains.offers.models"),
    Offence("customers is entered through its service", "domains.cashback.errors", "domains.customers.models"),
]


def lint(folder: Path) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": f"{folder}:{folder / 'platform'}", "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run([LINT_IMPORTS], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def file_of(folder: Path, module: str) -> Path:
    base = folder / ("platform" if module.startswith("wapsi") else "") / module.replace(".", "/")
    return base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"


@pytest.fixture(scope="module")
def broken(copy_to: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, str]]:
    """The exit code, and what is said of each broken contract, in a copy with all offences at once."""
    folder = copy_to(tmp_path_factory.mktemp("offences"))
    for offence in OFFENCES:
        with file_of(folder, offence.importer).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {offence.imported}\n")
    code, output = lint(folder)
    _, _, details = output.partition("Broken contracts")
    parts = re.split(r"\n([^\n]+)\n-{3,}\n", details)
    return code, dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_contracts_hold(root: Path) -> None:
    code, output = lint(root)
    assert code == 0, output
    assert " 0 broken" in output


@pytest.mark.parametrize("offence", OFFENCES, ids=lambda offence: f"{offence.importer} imports {offence.imported}")
def test_each_contract_catches_its_offence(broken: tuple[int, dict[str, str]], offence: Offence) -> None:
    code, sections = broken
    assert code != 0
    assert offence.contract in sections, sections.keys()
    edge = rf"{re.escape(offence.importer)}\s+->\s+{re.escape(offence.imported)}"
    assert re.search(edge, sections[offence.contract]), sections[offence.contract]


def _contracts(root: Path) -> list[dict[str, Any]]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return contracts


def test_every_contract_has_an_offence_here(root: Path) -> None:
    contracts = _contracts(root)
    assert {contract["name"] for contract in contracts} == {offence.contract for offence in OFFENCES}


def test_every_module_of_the_platform_is_below_the_roots(root: Path) -> None:
    """The contract must list them one by one, and a new one is easily forgotten."""
    contracts = _contracts(root)
    [listed] = [contract["source_modules"] for contract in contracts if contract["id"] == "roots-on-top"]
    there = {
        f"wapsi.{path.stem}"
        for path in (root / "platform" / "wapsi").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(listed) == there - {"wapsi.cli", "wapsi.roots", "wapsi.__init__"} | {"domains"}


def imports_rows(source: str) -> list[str]:
    """Modules named `models` that it imports, in whatever form."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if "models" in alias.name.split(".")]
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found += [node.module or "."] if "models" in names else []
    return [name for name in found if not name.startswith(("wapsi", "fastapi"))]


def test_no_router_knows_a_row_whatever_its_file_is_called(root: Path) -> None:
    """The contract goes by names, and a domain may have an admin_router beside its router."""
    routers = [path for path in (root / "domains").rglob("*.py") if "router" in str(path.relative_to(root))]
    assert len(routers) >= 4
    assert [path for path in routers if imports_rows(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    ["import domains.offers.models", "from domains.offers import models", "from domains.offers.models import OfferRow"],
)
def test_that_check_can_fail(source: str) -> None:
    assert imports_rows(source)
