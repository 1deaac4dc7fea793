from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from wapsi.security.permissions import OperatorRole

PASSWORD = "correct horse battery"
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]


@pytest.fixture
def sign_up(make_customer: Callable[..., Awaitable[UUID]]) -> Callable[..., Awaitable[UUID]]:
    """Somebody with an account: Asma, unless other fields are said. Those who sign up step by step: sign_up/."""
    return make_customer


@pytest.fixture
def sign_in(api: httpx2.AsyncClient) -> Callable[..., Awaitable[httpx2.Response]]:
    async def sign_in(email: str = "asma@example.com", password: str = PASSWORD) -> httpx2.Response:
        return await api.post("/v1/sessions", json={"email": email, "password": password})

    return sign_in


@pytest.fixture
async def customer(
    sign_up: Callable[..., Awaitable[UUID]], sign_in: Callable[..., Awaitable[httpx2.Response]]
) -> dict[str, Any]:
    """Asma, signed in: her tokens, as POST /v1/sessions answered."""
    await sign_up()
    answer = await sign_in()
    assert answer.status_code == 201, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@pytest.fixture
def headers(customer: dict[str, Any]) -> dict[str, str]:
    """Asma's, with an Idempotency-Key."""
    return {"Authorization": f"Bearer {customer['access_token']}", "Idempotency-Key": uuid4().hex}


@pytest.fixture
async def admin(operator: Callable[[OperatorRole], Awaitable[dict[str, str]]]) -> dict[str, str]:
    return await operator(OperatorRole.ADMIN)


@pytest.fixture
def insert_merchant(admin_sql: SQL) -> Callable[[str], Awaitable[UUID]]:
    async def insert_merchant(slug: str) -> UUID:
        rows = await admin_sql("INSERT INTO merchants (slug, name, currency) VALUES ($1, $1, 'PKR') RETURNING id", slug)
        merchant_id: UUID = rows[0]["id"]
        return merchant_id

    return insert_merchant
