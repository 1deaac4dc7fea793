"""Whatever a producer sends to whichever RPC: an answer or a refusal in words, and nothing of another's merchant."""

import asyncio
import importlib
import pkgutil
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

import wapsi.rpc
from domains.offers import service as offers
from tests.fuzz.effort import a_round, rounds
from tests.fuzz.messages import Words, messages, mutated
from tests.security.world import World
from wapsi.roots.grpc_app import make_rpc_server
from wapsi.rpc.errors import reason_of
from wapsi.rpc.offers.v1 import offer_sync_pb2
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
# Of each method in a round: some well-formed, some damaged.
EXAMPLES = 40
SHARE = 0.3
CALL_LIMIT_S = 20.0
# What grpc's own client says, without asking, where the server has ended the call while more was being sent.
LATE_WRITE = "Internal error from Core"
# A sync that stays open is watched for ever.
WATCH_LIMIT_S = 0.1


def methods() -> dict[str, MethodDescriptor]:
    """{"/package.Service/Method": descriptor} of all protos."""
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(wapsi.rpc.__path__, "wapsi.rpc.")
        if module.name.endswith("_pb2")
    ]
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}": method for service in services for method in service.methods}


METHODS = methods()


def never_of(method: MethodDescriptor) -> set[grpc.StatusCode]:
    """What a method may not answer, whatever it is sent."""
    never = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
    if method.name != "FinishSync":  # a count or checksum that is not what is stored
        never.add(grpc.StatusCode.DATA_LOSS)
    if method.name != "WatchSync":
        never.add(grpc.StatusCode.DEADLINE_EXCEEDED)
    return never


def requests(method: MethodDescriptor, words: Words) -> st.SearchStrategy[list[bytes]]:
    """What is sent in one call: one message, or the messages of a stream."""
    valid = messages(method.input_type, words)
    if method.input_type is offer_sync_pb2.PushOffersRequest.DESCRIPTOR:
        # Its items are messages too, in bytes; without good ones no batch gets any further.
        item = messages(offer_sync_pb2.OfferItem.DESCRIPTOR, words)
        valid = st.builds(_with_items, valid, st.lists(item, max_size=4), st.booleans())
    raw = valid.map(lambda message: bytes(message.SerializeToString(deterministic=True)))
    one = st.one_of(raw, mutated(raw))
    return st.lists(one, max_size=4) if method.client_streaming else one.map(lambda message: [message])


def _with_items(request: Any, items: list[Any], as_they_are: bool) -> Any:
    if not as_they_are:
        del request.items[:]
        request.items.extend(item.SerializeToString(deterministic=True) for item in items)
        request.offset = 0
    return request


class Calls:
    """Calls a method with bytes as they are, and keeps what was told."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {key}"),)
        self.codes: Counter[str] = Counter()

    async def __call__(self, name: str, raw: list[bytes]) -> list[Any]:
        """The answers. Raises AssertionError for what must never be answered."""
        method = METHODS[name]
        make = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, True): self._channel.stream_stream,
        }[method.client_streaming, method.server_streaming]
        limit_s = WATCH_LIMIT_S if method.name == "WatchSync" else CALL_LIMIT_S
        request = iter(raw) if method.client_streaming else raw[0]
        call: Any = make(name)(request, metadata=self._metadata, timeout=limit_s)
        answers = []
        code = grpc.StatusCode.OK
        try:
            answers = [answer async for answer in call] if method.server_streaming else [await call]
        except grpc.aio.AioRpcError as error:
            code = error.code()
            if error.details() == LATE_WRITE and reason_of(error) is None:
                self.codes[f"{method.name} refused while it was being sent"] += 1
                return []
            if code in never_of(method):
                raise AssertionError(f"{name}: {code.name} {error.details()}") from error
        self.codes[f"{method.name} {code.name}"] += 1
        return [GetMessageClass(method.output_type).FromString(answer) for answer in answers]


async def words_of(world: World, runtime: Runtime) -> Words:
    """Names and ids that exist, the other producer's among them."""
    stranger = await runtime.authenticator.authenticate(world.bearers["producer_b"])
    new = offers.NewSync("other-shop", uuid4().hex, offers.SyncMode.FULL, as_of=None)
    async with runtime.db.write() as session:
        foreign = await offers.start_sync(session, stranger, new)
    things = [await world.thing(name) for name in ("sync_id", "open_sync_id", "click_id", "sale_id")]
    slugs = [(name, slug) for name in ("merchant", "slug") for slug in ("shop", "shop", "shop", "other-shop", "none")]
    syncs = [("sync_id", sync_id) for sync_id in (*things[:2], things[1], str(foreign.id), str(uuid4()))]
    rest = [("network", ""), ("network", "impact"), ("currency", "PKR"), ("currency", "USD"), ("page_token", "")]
    words = [("click_id", things[2]), ("conversion_id", things[3]), ("link", "https://shop.example/1")]
    statuses = [("status", word) for word in ("pending", "approved", "declined")]
    return [("", uuid4().hex), ("", "1"), *slugs, *syncs, *rest, *words, *statuses]


async def rows_of(admin_sql: SQL, merchant_id: Any) -> dict[str, str]:
    """A hash of what each table has of a merchant."""
    tables = await admin_sql(
        "SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND a.attname = 'merchant_id'"
        " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    hashed = " UNION ALL ".join(
        f"SELECT '{table['name']}' AS name, coalesce(md5(string_agg(row, '' ORDER BY row)), '') AS hash FROM"
        f" (SELECT to_jsonb(t)::text AS row FROM {table['name']} AS t WHERE merchant_id = $1) AS rows"
        for table in tables
    )
    return {row["name"]: row["hash"] for row in await admin_sql(hashed, merchant_id)}


@pytest.mark.timeout(24 * 3600)
async def test_no_message_breaks_an_rpc_or_reaches_anothers_merchant(
    world: World, runtime: Runtime, admin_sql: SQL, tell: Callable[[str], None]
) -> None:
    words = await words_of(world, runtime)
    foreign_id = world.ids["other-shop"]
    before = await rows_of(admin_sql, foreign_id)
    assert any(before.values()), "there is nothing that could be touched"
    marks = ('merchant: "other-shop"', str(foreign_id))
    loop = asyncio.get_running_loop()
    server = make_rpc_server(runtime)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        calls = Calls(channel, world.bearers["producer_a"])

        def fuzz(name: str) -> None:
            @a_round(EXAMPLES)
            @given(requests(METHODS[name], words))
            def check(raw: list[bytes]) -> None:
                for answer in asyncio.run_coroutine_threadsafe(calls(name, raw), loop).result(2 * CALL_LIMIT_S):
                    text = text_format.MessageToString(answer)
                    assert not any(mark in text for mark in marks), f"{name}: {text}"

            check()

        with capture_logs() as logs:
            for _ in rounds(SHARE):
                for name in METHODS:
                    await asyncio.to_thread(fuzz, name)
        stub_alive = await calls("/wapsi.rpc.merchants.v1.MerchantService/ListMerchants", [b""])
    await server.stop()

    tell(f"RPCs: {calls.codes.total()} cases over {len(METHODS)} methods")
    assert [merchant.slug for merchant in stub_alive[0].merchants] == ["shop"]
    assert [line for line in logs if line["event"] == "rpc_failed"] == []
    assert await rows_of(admin_sql, foreign_id) == before
    answered = {key.split()[0] for key in calls.codes}
    assert answered == {method.name for method in METHODS.values()}
    assert sum(count for key, count in calls.codes.items() if key.endswith(" OK")) > calls.codes.total() / 20
