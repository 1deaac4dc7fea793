"""`wapsi messages`: what development did not send can be read, codes by scripts too; production keeps nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from typer.testing import Result

Run = Callable[..., Result]
EMAIL = "asma@example.com"
SIGN_UP = {"email": EMAIL, "password": "correct horse battery 9", "display_name": "Asma"}


@pytest.fixture
def messages(run: Run, environment: dict[str, str]) -> Callable[..., Awaitable[Result]]:
    """`await messages("--to", email)`, on a thread of its own: a command has a loop of its own."""

    async def messages(*arguments: str, **changes: str) -> Result:
        return await asyncio.to_thread(run, "messages", "--wait-s", "0", *arguments, **environment, **changes)

    return messages


@pytest.fixture
async def sign_up_id(api: httpx2.AsyncClient, drain: Callable[[], Awaitable[int]]) -> str:
    answer = await api.post("/v1/customers", json=SIGN_UP, headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 202, answer.text
    await drain()
    return str(answer.json()["sign_up_id"])


async def test_the_code_of_the_latest_one_verifies_the_sign_up(
    messages: Any, sign_up_id: str, api: httpx2.AsyncClient
) -> None:
    shown = await messages("--code", "--to", EMAIL)
    assert shown.exit_code == 0, shown.output
    code = shown.stdout.strip()
    answer = await api.post(
        "/v1/customers:verify", json={"sign_up_id": sign_up_id, "code": code}, headers={"Idempotency-Key": uuid4().hex}
    )
    assert answer.status_code == 201, answer.text


async def test_all_are_shown_with_whom_they_are_for(messages: Any, sign_up_id: str) -> None:
    shown = await messages()
    assert shown.exit_code == 0, shown.output
    assert f"email to {EMAIL}" in shown.stdout
    assert (await messages("--code")).stdout.strip() in shown.stdout


@pytest.mark.parametrize("to", ["nobody@example.com", "+923001234567"])
async def test_where_there_are_none_it_says_so(messages: Any, sign_up_id: str, to: str) -> None:
    shown = await messages("--to", to)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "no such message" in shown.output


async def test_production_shows_none(messages: Any, sign_up_id: str) -> None:
    production = {
        "WAPSI_ENVIRONMENT": "production",
        "WAPSI_PUBLIC_URL": "https://wapsi.example",
        "WAPSI_MAIL_URL": "smtps://mail.example:465",
    }
    shown = await messages(**production)
    assert shown.exit_code == 2
    assert EMAIL not in shown.output
    assert "In production messages are sent" in shown.output
