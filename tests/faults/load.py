"""A mix of what shoppers and producers ask for, on several connections at once, and how each of it was answered."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
import httpx2

from tests.faults.processes import Merchant, Platform
from wapsi.rpc.merchants.v1 import merchant_pb2, merchant_pb2_grpc
from wapsi.security.passwords import hash_password

PASSWORD = "correct horse battery"
# A request that is not answered by then counts as failed.
ANSWER_LIMIT_S = 20.0
_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """`told` is the status, or the name of what broke; `at_s` when the request began, by the monotonic clock."""

    at_s: float
    took_s: float
    name: str
    told: str

    @property
    def is_fine(self) -> bool:
        return self.told in ("200", "201", "204", "302", "OK")


@dataclass
class Load:
    """`async with load.running():` asks until the end of it."""

    platform: Platform
    merchant: Merchant
    http_port: int
    callers: int = 8
    outcomes: list[Outcome] = field(default_factory=list)
    _headers: dict[str, str] = field(default_factory=dict)
    _email: str = ""

    async def prepare(self) -> None:
        """Somebody who signs in, straight into the table, which every release has."""
        self._email = f"{uuid4().hex}@wapsi.example"
        await self.platform.sql.execute(
            "INSERT INTO customers (email, password_hash, display_name, referral_code)"
            " VALUES ($1, $2, 'Asma', upper(substr(md5($1), 1, 10)))",
            self._email,
            await hash_password(PASSWORD),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        limits = httpx2.Limits(max_connections=self.callers, max_keepalive_connections=self.callers)
        base_url = f"http://127.0.0.1:{self.http_port}"
        async with (
            httpx2.AsyncClient(base_url=base_url, timeout=ANSWER_LIMIT_S, limits=limits) as client,
            grpc.aio.insecure_channel(self.platform.target) as channel,
        ):
            await self._sign_in(client)
            tasks = [asyncio.ensure_future(self._ask(client, channel, stop, n)) for n in range(self.callers)]
            try:
                yield
            finally:
                stop.set()
                await asyncio.gather(*tasks)

    def failures(self, since_s: float = 0.0, until_s: float = float("inf")) -> Counter[tuple[str, str]]:
        """{(name, told): times} of what began in that time and was not answered well."""
        return Counter((o.name, o.told) for o in self.outcomes if since_s <= o.at_s < until_s and not o.is_fine)

    def fine(self, since_s: float = 0.0) -> Counter[str]:
        return Counter(o.name for o in self.outcomes if o.at_s >= since_s and o.is_fine)

    async def _sign_in(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post("/v1/sessions", json={"email": self._email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def _ask(
        self, client: httpx2.AsyncClient, channel: grpc.aio.Channel, stop: asyncio.Event, caller: int
    ) -> None:
        calls = self._calls(client, channel)
        for name, call in itertools.islice(itertools.cycle(calls), caller, None):
            if stop.is_set():
                return
            started_s = time.monotonic()
            try:
                told = await call()
            except grpc.aio.AioRpcError as error:
                told = error.code().name
            except httpx2.TransportError as error:
                told = type(error).__name__
            self.outcomes.append(Outcome(started_s, time.monotonic() - started_s, name, told))
            await asyncio.sleep(_PAUSE_S)

    def _calls(
        self, client: httpx2.AsyncClient, channel: grpc.aio.Channel
    ) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        stub = merchant_pb2_grpc.MerchantServiceStub(channel)
        slug = self.merchant.slug
        numbers = itertools.count()

        def get(path: str, headers: dict[str, str] | None = None) -> Callable[[], Awaitable[str]]:
            async def ask() -> str:
                answer = await client.get(path, headers=headers)
                return str(answer.status_code)

            return ask

        async def search() -> str:
            # Another one each time: not out of the cache.
            answer = await client.get("/v1/offers", params={"q": f"kurta p{next(numbers)}"})
            return str(answer.status_code)

        async def click() -> str:
            headers = self._headers | {"Idempotency-Key": uuid4().hex}
            answer = await client.post("/v1/clicks", json={"merchant": slug}, headers=headers)
            if answer.status_code != 201:
                return str(answer.status_code)
            path = "/r/" + answer.json()["url"].rpartition("/")[2]
            return str((await client.get(path)).status_code)

        async def sign_in() -> str:
            answer = await client.post("/v1/sessions", json={"email": self._email, "password": PASSWORD})
            if answer.status_code == 201:
                self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            return str(answer.status_code)

        async def call() -> str:
            metadata = (("authorization", f"Bearer {self.merchant.key}"),)
            request = merchant_pb2.GetMerchantRequest(slug=slug)
            await stub.GetMerchant(request, metadata=metadata, timeout=ANSWER_LIMIT_S)  # type: ignore[misc]
            return "OK"

        async def me() -> str:
            return str((await client.get("/v1/me", headers=self._headers)).status_code)

        async def balance() -> str:
            return str((await client.get("/v1/me/balance", headers=self._headers)).status_code)

        many: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("merchants", get("/v1/merchants")),
            ("rates", get(f"/v1/merchants/{slug}/rates")),
            ("search", search),
            ("click", click),
            ("me", me),
            ("balance", balance),
            ("rpc", call),
        ]
        return [*many, *many, *many, ("sign-in", sign_in)]
