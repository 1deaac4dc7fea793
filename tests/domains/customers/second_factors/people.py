"""People with an authenticator app: customers and operators."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pyotp
import pytest

from domains.customers import service
from wapsi.clock import now
from wapsi.db import Database
from wapsi.security.permissions import OperatorRole

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Json = dict[str, Any]
PASSWORD = "correct horse battery"
CONFIRMED = {"current_password": PASSWORD}


def bearer(tokens: Json) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


class App:
    """An authenticator app. A code counts once, so each one is of a half minute of its own."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.codes = 0

    def code(self) -> str:
        """Half a minute later each time, as the window allows for one."""
        self.codes += 1
        return pyotp.TOTP(self.secret).at(now() + timedelta(seconds=30 * (self.codes - 2)))


class Person:
    """Somebody who is signed in, and their door."""

    def __init__(self, api: httpx2.AsyncClient, tokens: Json, email: str, door: str) -> None:
        self.api = api
        self.tokens = tokens
        self.email = email
        self.prefix = "/v1/me" if door == "/v1/sessions" else "/v1/admin/me"
        self.door = door

    async def post(self, path: str, body: Json) -> httpx2.Response:
        return await self.api.post(f"{self.prefix}{path}", json=body, headers=bearer(self.tokens))

    async def get(self, path: str) -> httpx2.Response:
        return await self.api.get(f"{self.prefix}{path}", headers=bearer(self.tokens))

    async def sign_in(self) -> httpx2.Response:
        return await self.api.post(self.door, json={"email": self.email, "password": PASSWORD})

    async def challenge(self) -> str:
        answer = await self.sign_in()
        assert answer.status_code == 202, answer.text
        return str(answer.json()["challenge"])

    async def verify(self, challenge: str, code: str) -> httpx2.Response:
        return await self.api.post("/v1/sessions:verify", json={"challenge": challenge, "code": code})

    async def refresh(self) -> int:
        answer = await self.api.post("/v1/sessions:refresh", json={"refresh_token": self.tokens["refresh_token"]})
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer.status_code

    async def enrol(self) -> tuple[App, list[str]]:
        """With a code of the half minute before, so that two more can be used at once."""
        made = await self.post("/factors/totp", CONFIRMED)
        assert made.status_code == 201, made.text
        app = App(made.json()["secret"])
        confirmed = await self.post("/factors/totp:confirm", {"code": app.code()})
        if confirmed.status_code == 403:
            # A half minute ended between the two.
            app.codes = 0
            confirmed = await self.post("/factors/totp:confirm", {"code": app.code()})
        assert confirmed.status_code == 200, confirmed.text
        return app, confirmed.json()["recovery_codes"]


@pytest.fixture
def asma(api: httpx2.AsyncClient, customer: Json) -> Person:
    return Person(api, customer, "asma@example.com", "/v1/sessions")


@pytest.fixture
def desk(api: httpx2.AsyncClient, db: Database) -> Callable[[OperatorRole], Awaitable[Person]]:
    """An operator who signed in with the password alone."""

    async def desk(role: OperatorRole) -> Person:
        email = f"{role}@wapsi.example"
        async with db.write() as session:
            await service.create_operator(session, email, PASSWORD, role)
        person = Person(api, {}, email, "/v1/admin/sessions")
        answer = await person.sign_in()
        assert answer.status_code == 201, answer.text
        person.tokens = answer.json()
        return person

    return desk
