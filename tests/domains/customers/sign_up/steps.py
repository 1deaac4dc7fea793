"""The steps of signing up."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers import service

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Drain = Callable[[], Awaitable[int]]
Read = Callable[[str], Awaitable[list[service.ShownMessage]]]
MakeCustomer = Callable[..., Awaitable[UUID]]
BODY = {"email": "asma@example.com", "password": "correct horse battery", "display_name": "Asma"}
PHONE = {"phone": "0300 1234567", "email": None}


def keyed() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


@pytest.fixture
def ask(api: httpx2.AsyncClient) -> Post:
    """Posts a sign-up with a fresh Idempotency-Key; `changes` replace fields, None takes one out."""

    async def ask(**changes: Any) -> httpx2.Response:
        body = {name: value for name, value in (BODY | changes).items() if value is not None}
        return await api.post("/v1/customers", json=body, headers=keyed())

    return ask


@pytest.fixture
def verify(api: httpx2.AsyncClient) -> Post:
    async def verify(asked: httpx2.Response, code: str) -> httpx2.Response:
        body = {"sign_up_id": asked.json()["sign_up_id"], "code": code}
        return await api.post("/v1/customers:verify", json=body, headers=keyed())

    return verify


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 100_000_000:08}"


async def code_for(read: Read, recipient: str) -> str:
    code = (await read(recipient))[0].code
    assert code is not None
    return code
