"""Keys that are refused count against the address they come from; what was good before goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from tests.platform.rpc.test_server import FEEDS, Servicer, get, service, with_settings
from wapsi.limits import LimitSettings, RateLimits
from wapsi.rpc.errors import reason_of, retry_after_of
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime
from wapsi.security.principal import CredentialsInvalid, Principal

ADMIN = (("authorization", "Bearer admin"),)
CODE, REASON = grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"


@dataclass
class Asked:
    """The authenticator behind it, which notes what it was asked."""

    known: Any
    bearers: list[str] = field(default_factory=list)

    async def authenticate(self, bearer: str, *, certificate_sha256: bytes | None = None) -> Principal:
        self.bearers.append(bearer)
        principal: Principal = await self.known.authenticate(bearer, certificate_sha256=certificate_sha256)
        return principal

    def polling(self) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()


@pytest.fixture
def asked(known: Runtime) -> Asked:
    return Asked(known.authenticator)


@pytest.fixture
async def stub_of(known: Runtime, asked: Asked, limit_settings: LimitSettings) -> AsyncIterator[Callable[..., Any]]:
    """Makes a server that lets three refused keys of an address pass in a minute."""
    async with contextlib.AsyncExitStack() as stack:

        async def stub_of(**settings: Any) -> Any:
            update = {"rate_limit_refused_key": "3/60"} | settings
            limits = RateLimits(
                LimitSettings(**(limit_settings.model_dump() | update)), url=known.settings.queue_url, secret=b"s" * 32
            )
            stack.push_async_callback(limits.aclose)
            runtime = replace(with_settings(known, shutdown_grace_s=0.2), limits=limits, authenticator=asked)
            server = RPCServer(runtime, [service(Servicer())])
            await server.start()
            stack.push_async_callback(server.stop)
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
            await stack.enter_async_context(channel)
            return pb_grpc.OfferSyncServiceStub(channel)

        yield stub_of


def guess(number: int, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer guess {number}"), *more)


async def failed(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


async def use_up(stub: Any, *more: tuple[str, str]) -> None:
    for number in range(3):
        error = await failed(get(stub, metadata=guess(number, *more)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.rate_limits
async def test_after_some_refused_keys_the_next_is_not_looked_at_and_told_when_to_come_again(
    stub_of: Any, asked: Asked
) -> None:
    stub = await stub_of()
    await use_up(stub)
    assert len(asked.bearers) == 3
    error = await failed(get(stub, metadata=guess(4)))
    assert (error.code(), reason_of(error)) == (CODE, REASON)
    wait_s = retry_after_of(error)
    assert wait_s is not None
    assert 1 <= wait_s <= 60
    assert len(asked.bearers) == 3, "it was looked up all the same"


@pytest.mark.rate_limits
async def test_a_key_that_was_good_before_goes_on_and_one_that_was_not_seen_waits(stub_of: Any) -> None:
    stub = await stub_of()
    await get(stub, metadata=FEEDS)
    await use_up(stub)
    assert (await get(stub, metadata=FEEDS)).sync.sync_id == "s1", "a neighbour pays for it"
    assert (await failed(get(stub, metadata=ADMIN))).code() is CODE


@pytest.mark.rate_limits
async def test_a_key_that_is_no_longer_good_counts_like_any_other(stub_of: Any, asked: Asked) -> None:
    stub = await stub_of()
    await get(stub, metadata=FEEDS)
    asked.known = NobodyIsKnown()
    codes = [(await failed(get(stub, metadata=FEEDS))).code() for _ in range(5)]
    assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 3 + [CODE] * 2


@pytest.mark.rate_limits
async def test_many_at_once_are_counted_each(stub_of: Any) -> None:
    stub = await stub_of()
    errors = await asyncio.gather(*(failed(get(stub, metadata=guess(number))) for number in range(20)))
    codes = [error.code() for error in errors]
    assert codes.count(grpc.StatusCode.UNAUTHENTICATED) == 3
    assert codes.count(CODE) == 17


@pytest.mark.rate_limits
async def test_behind_a_proxy_of_ours_each_address_has_its_own_count(stub_of: Any) -> None:
    stub = await stub_of(trusted_proxies="127.0.0.0/8")
    await use_up(stub, ("x-forwarded-for", "203.0.113.7"))
    assert (await failed(get(stub, metadata=guess(4, ("x-forwarded-for", "203.0.113.7"))))).code() is CODE
    await get(stub, metadata=(*FEEDS, ("x-forwarded-for", "203.0.113.8")))


@pytest.mark.rate_limits
async def test_nobody_else_is_believed_about_an_address(stub_of: Any) -> None:
    stub = await stub_of()
    await use_up(stub, ("x-forwarded-for", "203.0.113.7"))
    assert (await failed(get(stub, metadata=guess(4, ("x-forwarded-for", "203.0.113.8"))))).code() is CODE


async def test_where_limits_are_off_every_key_is_looked_at(stub_of: Any, asked: Asked) -> None:
    stub = await stub_of()
    for number in range(6):
        assert (await failed(get(stub, metadata=guess(number)))).code() is grpc.StatusCode.UNAUTHENTICATED
    assert len(asked.bearers) == 6


class NobodyIsKnown:
    async def authenticate(self, bearer: str, *, certificate_sha256: bytes | None = None) -> Principal:
        raise CredentialsInvalid
