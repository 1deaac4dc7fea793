"""`wapsi operator`: at the server, by those who can reach it. Passwords are asked for and not echoed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from typer.testing import Result

Run = Callable[..., Result]
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
PASSWORD = "correct horse battery"
ASMA, BILAL = "asma@wapsi.example", "bilal@wapsi.example"


@pytest.fixture
def operator(run: Run, environment: dict[str, str]) -> Callable[..., Awaitable[Result]]:
    """`await operator("disable", email)`, on a thread of its own: a command has a loop of its own."""

    async def operator(*arguments: str) -> Result:
        return await asyncio.to_thread(run, "operator", *arguments, **environment)

    return operator


@pytest.fixture
async def asma(operator: Any) -> None:
    """The only admin, and Bilal who does support."""
    for email, role in ((ASMA, "admin"), (BILAL, "support")):
        made = await operator("add", email, "--role", role, "--password", PASSWORD)
        assert made.exit_code == 0, made.output


async def test_operators_are_listed(operator: Any, asma: None) -> None:
    listed = await operator("list")
    assert listed.exit_code == 0
    lines = [line for line in listed.output.splitlines() if "@wapsi.example" in line]
    assert [BILAL in lines[0], ASMA in lines[1]] == [True, True]
    assert "support" in lines[0]
    assert "active" in lines[0]
    assert PASSWORD not in listed.output


async def test_disabled_enabled_and_given_another_role(operator: Any, asma: None, admin_sql: SQL) -> None:
    for arguments, words in (
        (("disable", BILAL), "is disabled"),
        (("enable", BILAL), "is active"),
        (("role", BILAL, "finance"), "has the role finance"),
    ):
        result = await operator(*arguments)
        assert (result.exit_code, words in result.output) == (0, True), result.output
    entries = await admin_sql("SELECT actor, after->>'status', after->>'role' FROM audit_log ORDER BY id OFFSET 2")
    assert [tuple(entry) for entry in entries] == [
        ("system", "disabled", "support"),
        ("system", "active", "support"),
        ("system", "active", "finance"),
    ]


async def test_the_last_admin_is_kept_here_too(operator: Any, asma: None) -> None:
    for arguments in (("disable", ASMA), ("role", ASMA, "support")):
        result = await operator(*arguments)
        assert result.exit_code == 1
        assert "LAST_ADMIN" in result.output


async def test_a_password_is_set_anew_and_shown_nowhere(operator: Any, asma: None, admin_sql: SQL) -> None:
    [before] = await admin_sql("SELECT password_hash FROM operators WHERE email = $1", BILAL)
    result = await operator("reset-password", BILAL, "--password", "another horse battery")
    assert result.exit_code == 0, result.output
    [after] = await admin_sql("SELECT password_hash FROM operators WHERE email = $1", BILAL)
    assert before["password_hash"] != after["password_hash"]
    entries = await admin_sql("SELECT audit_log::text AS line FROM audit_log")
    assert "battery" not in result.output + "".join(entry["line"] for entry in entries)


@pytest.mark.parametrize(
    "arguments", [("disable",), ("enable",), ("role", "finance"), ("reset-password", "--password", PASSWORD)]
)
async def test_one_that_is_not_there_is_said(operator: Any, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    result = await operator(command, "nobody@wapsi.example", *rest)
    assert result.exit_code == 1
    assert "OPERATOR_NOT_FOUND" in result.output


async def test_what_cannot_be_is_refused(operator: Any, asma: None) -> None:
    assert (await operator("role", BILAL, "owner")).exit_code == 2
    short = await operator("reset-password", BILAL, "--password", "short")
    assert (short.exit_code, "PASSWORD_INVALID" in short.output) == (1, True)
    twice = await operator("add", BILAL, "--role", "support", "--password", PASSWORD)
    assert (twice.exit_code, "OPERATOR_EXISTS" in twice.output) == (1, True)
