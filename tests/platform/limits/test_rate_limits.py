"""Counting against the real Valkey, over several processes, and without it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import ValidationError
from structlog.testing import capture_logs

from wapsi.limits import POLICIES, LimitSettings, Policy, RateLimited, RateLimits, rate_limits
from wapsi.telemetry.setup import Telemetry

FEW = Policy("few", 3, 600)
MANY = Policy("many", 200, 600)
NOBODY = "redis://127.0.0.1:1/0"

Make = Callable[..., RateLimits]


@pytest.fixture
async def make(queue_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """As many processes' limits as a test wants, on one server and beside those of other tests."""
    monkeypatch.setattr(rate_limits, "TIMEOUT_S", 10.0)  # a busy machine is none of these tests' subjects
    made: list[RateLimits] = []
    prefix = uuid4().hex

    def make(url: str = queue_url, **settings: Any) -> RateLimits:
        limits = RateLimits(
            LimitSettings(rate_limits=True, limits_prefix=prefix, **settings), url=url, secret=b"a secret"
        )
        made.append(limits)
        return limits

    yield make
    for limits in made:
        await limits.aclose()


async def test_a_quota_is_given_once_and_then_refused_with_the_time_to_wait(make: Make) -> None:
    limits = make()
    verdicts = [await limits.hit(FEW, "anna") for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0]
    assert 590 < verdicts[3].reset_after_s <= 600


async def test_callers_do_not_share_a_quota(make: Make) -> None:
    limits = make()
    for _ in range(3):
        await limits.hit(FEW, "anna")
    assert (await limits.hit(FEW, "bilal")).allowed
    # Where one part ends and the next begins is part of who it is.
    assert (await limits.hit(FEW, "an", "na")).remaining == 2
    assert (await limits.hit(FEW, "ann", "a")).remaining == 2


@pytest.mark.parametrize("policy", [FEW, MANY], ids=["counted exactly", "taken in blocks"])
async def test_processes_share_a_quota(make: Make, policy: Policy) -> None:
    first, second = make(), make()
    allowed = 0
    for _ in range(policy.quota):
        allowed += (await first.hit(policy, "anna")).allowed
        allowed += (await second.hit(policy, "anna")).allowed
    # Never more than the quota, and what the other process holds of a block is all that may be missing.
    assert policy.quota - policy.block < allowed <= policy.quota


async def test_a_quota_that_is_taken_in_blocks_is_given_to_its_last_hit(make: Make) -> None:
    limits = make()
    odd = Policy("odd", 199, 600)
    verdicts = [await limits.hit(odd, "anna") for _ in range(200)]
    assert [verdict.allowed for verdict in verdicts].count(True) == 199
    assert [verdict.remaining for verdict in verdicts[:199]] == list(range(198, -1, -1))


async def test_hits_at_once_are_not_more_than_the_quota(make: Make) -> None:
    first, second = make(), make()
    verdicts = await asyncio.gather(*(limits.hit(MANY, "anna") for limits in (first, second) * 150))
    assert sum(verdict.allowed for verdict in verdicts) == MANY.quota


async def test_within_a_block_the_server_is_not_asked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = make()
    await limits.hit(MANY, "anna")

    async def refuse(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(limits, "_take", refuse)
    for _ in range(MANY.block - 1):
        assert (await limits.hit(MANY, "anna")).allowed
    with pytest.raises(AssertionError, match="asked"):
        await limits.hit(MANY, "anna")


async def test_a_refusal_is_repeated_from_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = make()
    for _ in range(4):
        await limits.hit(FEW, "anna")

    async def refuse(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(limits, "_take", refuse)
    assert not (await limits.hit(FEW, "anna")).allowed


async def test_a_dear_hit_that_is_refused_leaves_cheap_ones(make: Make) -> None:
    limits = make()
    assert (await limits.hit(FEW, "anna", cost=2)).remaining == 1
    assert not (await limits.hit(FEW, "anna", cost=2)).allowed
    assert (await limits.hit(FEW, "anna")).allowed
    assert not (await limits.hit(FEW, "bilal", cost=4)).allowed


async def test_looking_does_not_count(make: Make) -> None:
    limits, other = make(), make()
    for _ in range(5):
        assert (await limits.test(FEW, "anna")).remaining == 3
    for _ in range(3):
        await other.hit(FEW, "anna")
    refused = await limits.test(FEW, "anna")
    assert not refused.allowed
    assert refused.reset_after_s > 0


async def test_what_is_forgotten_begins_anew_everywhere(make: Make) -> None:
    limits, other = make(), make()
    for _ in range(4):
        await limits.hit(FEW, "anna")
    await limits.forget(FEW, "anna")
    assert (await other.hit(FEW, "anna")).remaining == 2
    assert (await limits.hit(FEW, "anna")).remaining == 1


async def test_a_quota_comes_back(make: Make) -> None:
    limits = make()
    second = Policy("second", 2, 1)
    for _ in range(3):
        verdict = await limits.hit(second, "anna")
    assert not verdict.allowed
    await asyncio.sleep(verdict.reset_after_s + 0.05)
    assert (await limits.hit(second, "anna")).allowed


async def test_a_refusal_can_be_raised(make: Make) -> None:
    limits = make()
    for _ in range(3):
        await limits.require(FEW, "anna")
    with pytest.raises(RateLimited) as caught:
        await limits.require(FEW, "anna")
    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.metadata == {"policy": "few", "retry_after_s": str(caught.value.retry_after_s)}


async def test_nothing_of_a_caller_lies_on_the_server(make: Make, queue_url: str) -> None:
    limits = make()
    await limits.hit(FEW, "anna@example.pk")
    client = redis.asyncio.Redis.from_url(queue_url)
    keys = [key async for key in client.scan_iter(f"{limits.settings.limits_prefix}*")]
    await client.aclose()
    assert len(keys) == 1
    assert b"anna" not in keys[0]


async def test_switched_off_nothing_is_counted(make: Make) -> None:
    limits = make(NOBODY)
    limits.is_on = False
    for _ in range(5):
        assert (await limits.hit(FEW, "anna")).remaining == 3
    assert (await limits.test(FEW, "anna")).allowed


async def test_settings_change_a_quota(make: Make) -> None:
    limits = make(rate_limit_sign_in="2/60")
    verdicts = [await limits.hit(POLICIES["sign_in"], "anna") for _ in range(3)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, False]
    assert verdicts[0].policy.quota == 2


@pytest.mark.parametrize("rate", ["", "5", "5/0", "0/5", "-1/5", "5/60/1", "five/60", "5 / 60", "5/60\n"])
def test_a_rate_that_cannot_be_read_is_refused_at_start(rate: str) -> None:
    with pytest.raises(ValidationError, match="such as 600/60"):
        LimitSettings.model_validate({"rate_limit_sign_in": rate})


def test_every_policy_can_be_set() -> None:
    assert {f"rate_limit_{name}" for name in POLICIES} <= set(LimitSettings.model_fields)
    assert dict(LimitSettings().policies()) == POLICIES


async def test_without_the_server_a_process_counts_alone(
    make: Make, telemetry: Telemetry, metric_reader: InMemoryMetricReader
) -> None:
    limits = make(NOBODY)
    with capture_logs() as logs:
        verdicts = [await limits.hit(FEW, "anna") for _ in range(4)]
        assert not (await limits.test(FEW, "anna")).allowed
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0]
    assert [line["event"] for line in logs] == ["rate_limits_alone"]  # once, and not a line a hit
    assert counted(metric_reader, "wapsi.limits.alone") >= 4
    await limits.forget(FEW, "anna")
    assert (await limits.hit(FEW, "anna")).allowed


async def test_a_server_that_accepts_and_never_answers_is_not_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "TIMEOUT_S", 0.05)
    connections: list[asyncio.StreamWriter] = []

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    limits = make(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    async with asyncio.timeout(30):  # without end it would be
        verdicts = [await limits.hit(FEW, "anna") for _ in range(4)]
    server.close()
    assert connections
    for writer in connections:
        writer.close()
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]


async def test_what_was_counted_before_the_server_went_is_not_lost(make: Make) -> None:
    limits = make()
    await limits.hit(FEW, "anna")
    await limits.hit(FEW, "anna")
    limits._lost, limits._retry_at_s = True, time.monotonic() + 60
    assert [(await limits.hit(FEW, "anna")).allowed for _ in range(2)] == [True, False]


async def test_a_server_that_is_back_is_found(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "RETRY_S", 0.0)
    limits = make()
    limits._lost = True
    with capture_logs() as logs:
        await limits.hit(FEW, "anna")
    assert [line["event"] for line in logs] == ["rate_limits_shared"]
    assert (await make().hit(FEW, "anna")).remaining == 1


async def test_memory_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "KEYS_MAX", 10)
    limits = make()
    limits._windows._keys_max = 10
    for number in range(50):
        await limits.hit(MANY, str(number))
    assert len(limits._blocks) == 10
    assert len(limits._windows._counts) == 10


def counted(reader: InMemoryMetricReader, name: str) -> int:
    data = reader.get_metrics_data()
    assert data is not None
    return sum(
        point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    )
