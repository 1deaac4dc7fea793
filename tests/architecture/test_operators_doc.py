"""docs/operators.md says of every permission and every command what the code says."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from wapsi.cli.people import operator_app
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole, Permission


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs" / "operators.md").read_text(encoding="utf-8")


def permissions_in(page: str) -> dict[str, set[str]]:
    """{permission: roles that have it}"""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    [head] = [cells for cells in lines if cells[0] == "permission"]
    roles = head[2:]
    table = [cells for cells in lines if len(cells) == len(head) and cells[0].startswith("`")]
    return {
        cells[0].strip("`"): {role for role, cell in zip(roles, cells[2:], strict=True) if cell == "✓"}
        for cells in table
    }


def test_the_table_says_who_may_what(page: str) -> None:
    given = {
        str(permission): {str(role) for role in OperatorRole if permission in ROLE_PERMISSIONS[role]}
        for permission in Permission
    }
    assert permissions_in(page) == {permission: roles for permission, roles in given.items() if roles}


def test_every_command_is_named_and_none_that_is_gone(page: str) -> None:
    commands = get_command(operator_app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `wapsi operator ([a-z-]+)", page, re.M)) == set(commands)


def test_a_difference_is_noticed(page: str) -> None:
    wrong = page.replace("| `audit:read` | the audit log | |", "| `audit:read` | the audit log | ✓ |")
    assert permissions_in(wrong)["audit:read"] == {"support", "finance", "admin"}
