"""Passwords, tokens, keys, accounts, addresses and codes are driven through the doors, the jobs and their failures.

None of them turns up in what leaves the process: logs, traces, metrics and the answers to what went wrong; nor in the
database beyond the columns that are there for it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import grpc
import httpx2
import pyotp
import pytest
import structlog
from fastapi import FastAPI
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.security.canaries import Canaries, Lines, forget_logging, listen
from tests.security.world import World
from wapsi.config import Settings
from wapsi.roots.grpc_app import make_rpc_server
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime
from wapsi.telemetry.logs import configure_logs
from wapsi.telemetry.redaction import Redacting

EMAIL = "kanarie.8842@canary.example"
PASSWORD = "Kanarienvogel-singt-7311"
PHONE = "+923338642975"
IBAN = "PK04ABPA0000884273190462"
NAME = "Kanarie Gelbschnabel"
# Where each may lie: what the column is for. Everything else is encrypted, hashed or not kept.
AT_HOME = {
    "e-mail": {"customers"},
    "name": {"customers"},
    "phone": {"customers"},
    "click token": {"idempotent_answers"},
}
# A sign-up that waits for its code is somebody's data too, for as long as it waits.
_WAITING = {"sign_ups", "verifications"}


@pytest.fixture
def canaries() -> Canaries:
    texts = {"password": PASSWORD, "e-mail": EMAIL, "phone": PHONE, "iban": IBAN, "name": NAME}
    return Canaries(dict(texts))


@pytest.fixture
def logged(settings: Settings) -> Iterator[Lines]:
    """All lines, of ours and of libraries, at every level, as standard error would have them."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs(settings)
    structlog.configure(cache_logger_on_first_use=False)  # or other tests would not hear of these loggers any more
    yield listen()
    forget_logging(handlers, level)


def exported(spans: InMemorySpanExporter) -> str:
    """The spans that have ended, as they leave the process."""
    leaving = InMemorySpanExporter()
    Redacting(leaving).export(spans.get_finished_spans())
    return "\n".join(span.to_json() for span in leaving.get_finished_spans())


@pytest.fixture
def answers(api: httpx2.AsyncClient) -> list[httpx2.Response]:
    """All that api gets."""
    got: list[httpx2.Response] = []

    async def note(answer: httpx2.Response) -> None:
        await answer.aread()
        got.append(answer)

    api.event_hooks = {"request": [], "response": [note]}
    return got


@pytest.fixture
async def offers_stub(runtime: Runtime) -> AsyncIterator[Any]:
    server = make_rpc_server(runtime)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel.unary_unary(
            "/wapsi.rpc.offers.v1.OfferSyncService/StartSync",
            request_serializer=pb.StartSyncRequest.SerializeToString,
            response_deserializer=pb.StartSyncResponse.FromString,
        )
    await server.stop()


class Person:
    """Somebody who signs up, in and out, is paid, and does each of it wrong too."""

    def __init__(self, world: World, canaries: Canaries, messages: Any) -> None:
        self.world = world
        self.api = world.api
        self.canaries = canaries
        self.messages = messages
        self.headers: dict[str, str] = {}

    async def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        keyed = {"Idempotency-Key": uuid4().hex, **self.headers, **headers}
        return await self.api.post(path, json=body, headers=keyed)

    async def sign_up(self) -> None:
        body = {"email": EMAIL, "password": PASSWORD, "display_name": NAME}
        asked = await self.post("/v1/customers", body)
        assert asked.is_success, asked.text
        await self.world.drain()
        code = self.canaries.note("code", (await self.messages(EMAIL))[0].code)
        wrong = {"sign_up_id": asked.json()["sign_up_id"], "code": [code]}
        assert (await self.post("/v1/customers:verify", wrong)).status_code == 422
        made = await self.post("/v1/customers:verify", wrong | {"code": code})
        assert made.is_success, made.text
        for wrong_body in (body | {"email": [EMAIL]}, body | {"password": [PASSWORD]}, body | {"iban": IBAN}):
            assert (await self.post("/v1/customers", wrong_body)).status_code == 422
        assert (await self.post("/v1/customers", body)).is_success, "the address is taken, which is not told"
        await self.world.drain()

    async def sign_in(self) -> None:
        body = {"email": EMAIL, "password": PASSWORD}
        assert (await self.post("/v1/sessions", body | {"password": PASSWORD + "!"})).status_code == 401
        assert (await self.post("/v1/sessions", body | {"email": {"e": EMAIL}})).status_code == 422
        tokens = (await self.post("/v1/sessions", body)).json()
        self.canaries.note("access token", tokens["access_token"])
        refresh = self.canaries.note("refresh token", tokens["refresh_token"])
        self.headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        tampered = {"Authorization": f"Bearer {tokens['access_token']}x"}
        assert (await self.api.get("/v1/me", headers=tampered)).status_code == 401
        query = {"access_token": tokens["access_token"], "password": PASSWORD, "email": EMAIL}
        assert (await self.api.get("/v1/me/balance", params=query, headers=self.headers)).status_code == 200
        assert (await self.post("/v1/sessions:refresh", {"refresh_token": [refresh]})).status_code == 422
        fresh = (await self.post("/v1/sessions:refresh", {"refresh_token": refresh})).json()
        self.canaries.note("second refresh token", fresh["refresh_token"])
        self.canaries.note("second access token", fresh["access_token"])

    async def be_paid(self) -> None:
        wallet = {"kind": "mobile_wallet", "label": "Wallet", "provider": "easypaisa", "mobile_number": PHONE}
        account = {"kind": "bank_account", "label": "Bank", "iban": IBAN}
        for body in (wallet, account):
            assert (await self.post("/v1/me/payout-methods", body)).status_code == 201
            assert (await self.post("/v1/me/payout-methods", body)).status_code == 409
        for body in (account | {"iban": IBAN + "9"}, account | {"kind": IBAN}, wallet | {"mobile_number": PHONE + "9"}):
            assert (await self.post("/v1/me/payout-methods", body)).status_code == 422

    async def add_a_second_factor(self) -> None:
        begun = await self.post("/v1/me/factors/totp", {"current_password": PASSWORD})
        assert begun.is_success, begun.text
        secret = self.canaries.note("totp secret", begun.json()["secret"])
        code = pyotp.TOTP(secret).now()
        wrong = {"code": f"{(int(code) + 1) % 100_000_000:08}"}
        assert (await self.post("/v1/me/factors/totp:confirm", wrong)).is_error
        done = await self.post("/v1/me/factors/totp:confirm", {"code": code})
        assert done.is_success, done.text
        for number, recovery_code in enumerate(done.json()["recovery_codes"]):
            self.canaries.note(f"recovery code {number}", recovery_code)

    async def click(self) -> None:
        answer = await self.post("/v1/clicks", {"merchant": "shop"})
        token = self.canaries.note("click token", answer.json()["url"].rpartition("/")[2])
        assert (await self.api.get(f"/r/{token}")).status_code == 302

    async def meet_a_failing_database(self) -> None:
        """A constraint that nobody expects: PostgreSQL says the whole row that broke it."""
        sql = self.world.sql
        await sql("ALTER TABLE customers ADD CONSTRAINT unexpected CHECK (locale <> 'ur')")
        answer = await self.api.patch("/v1/me", json={"locale": "ur"}, headers=self.headers)
        await sql("ALTER TABLE customers DROP CONSTRAINT unexpected")
        assert answer.status_code == 500, answer.text


async def call_grpc(stub: Any, world: World, canaries: Canaries) -> None:
    key = canaries.note("producer's key", world.bearers["producer_a"])
    request = pb.StartSyncRequest(request_id="1", merchant="shop", mode=pb.SYNC_MODE_FULL)
    await stub(request, metadata=(("authorization", f"Bearer {key}"),))
    for metadata in ((("authorization", f"Bearer {key}x"),), (("authorization", f"Basic {PASSWORD}"),)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub(request, metadata=metadata)
        assert canaries.in_text(f"{refused.value.details()} {refused.value.trailing_metadata()}") == set()


async def act_as_operator(world: World, canaries: Canaries) -> None:
    headers = world.headers("admin")
    canaries.note("operator's token", world.bearers["admin"])
    canaries.note("network's secret", world.secret.removeprefix("whsec_"))
    for path, body in (
        ("/v1/admin/producers", {"name": "feeds", "merchant_ids": [str(world.ids["shop"])]}),
        ("/v1/admin/networks", {"slug": "cj", "name": "CJ"}),
    ):
        answer = await world.api.post(path, json=body, headers=headers | {"Idempotency-Key": uuid4().hex})
        made = answer.json()
        canaries.note(f"new secret of {path}", made.get("key") or made["secret"])
    source = {"url": f"http://feeds:{PASSWORD}@127.0.0.1:9/feed.jsonl?token={PASSWORD}"}
    assert (await world.api.put("/v1/admin/merchants/shop/feed-source", json=source, headers=headers)).status_code in (
        200,
        422,
    )
    forged = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": f"v1,{world.secret}"}
    assert (await world.api.post("/v1/postbacks/impact", json={"email": EMAIL}, headers=forged)).status_code == 401
    adapter = "/v1/admin/networks/impact/adapter"
    assert (await world.api.put(adapter, json={"kind": "cj"}, headers=headers)).status_code == 200
    rotated = headers | {"Idempotency-Key": uuid4().hex}
    address = (await world.api.post(f"{adapter}:rotate-address", headers=rotated)).json()["secret"]
    canaries.note("network's address", address.rpartition("/")[2])
    address = f"/v1{address.partition('/v1')[2]}"
    assert (await world.api.get(f"{address}?commissionId=1")).status_code == 200
    assert (await world.api.get(f"{address}x?commissionId=1")).status_code == 404
    for path in ("/v1/admin/audit-log", "/v1/admin/producers", "/v1/admin/networks", "/v1/admin/conversion-events"):
        assert (await world.api.get(path, headers=headers)).status_code == 200


async def stored(world: World, canaries: Canaries) -> set[tuple[str, str]]:
    """{(what, table)} of what lies in the database as it is."""
    tables = await world.sql(
        "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    found = set()
    for table in tables:
        rows = await world.sql(f"SELECT to_jsonb(t)::text AS row FROM {table['name']} AS t")
        found |= {(what, table["name"]) for row in rows for what in canaries.in_text(row["row"])}
    return found


async def test_no_canary_gets_out(
    app: FastAPI,
    world: World,
    canaries: Canaries,
    messages: Any,
    drain: Callable[[], Awaitable[int]],
    logged: Lines,
    spans: InMemorySpanExporter,
    metric_reader: InMemoryMetricReader,
    answers: list[httpx2.Response],
    offers_stub: Any,
) -> None:
    spans.clear()
    person = Person(world, canaries, messages)
    await person.sign_up()
    await person.sign_in()
    await person.be_paid()
    await person.add_a_second_factor()
    await person.click()
    await person.meet_a_failing_database()
    await call_grpc(offers_stub, world, canaries)
    await act_as_operator(world, canaries)
    await drain()
    assert len(canaries.texts) >= 13

    log = "\n".join(logged.lines)
    for event in ("http_request", "request_failed", "rpc", "job_done"):
        assert f'"event":"{event}"' in log, "the logs were not listened to"
    assert "Traceback" in log
    assert canaries.in_text(log) == set()

    traces = exported(spans)
    assert traces.count("trace_id") > 100
    assert canaries.in_text(traces) == set()

    metrics = metric_reader.get_metrics_data()
    assert metrics is not None
    assert canaries.in_text(metrics.to_json()) == set()

    failures = [answer for answer in answers if answer.is_error]
    assert len(failures) >= 12
    assert canaries.in_answers(failures) == set(), [a.text for a in failures if canaries.in_text(a.text)]

    homes = {(what, table) for what, tables in AT_HOME.items() for table in tables | _WAITING}
    found = await stored(world, canaries)
    assert ("e-mail", "customers") in found
    assert found - homes == set()


async def test_a_canary_that_got_out_would_be_found(world: World, canaries: Canaries, logged: Lines) -> None:
    logging.getLogger("a.library").warning("a login of %s", EMAIL)
    assert canaries.in_text("\n".join(logged.lines)) == {"e-mail"}
    assert canaries.in_text("?email=kanarie.8842%40canary.example") == {"e-mail"}
    assert canaries.in_text(f"\\x{PASSWORD.encode().hex()}") == {"password"}
    await world.sql(
        "INSERT INTO audit_log (actor, action, target, after) VALUES ('system', 'x', 'y', $1)", f'{{"iban": "{IBAN}"}}'
    )
    assert await stored(world, canaries) == {("iban", "audit_log")}
