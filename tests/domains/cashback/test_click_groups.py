"""Clicks that come at the same time share a commit, and nothing else."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import time_machine
from cryptography.exceptions import InvalidSignature

from domains.cashback import service
from domains.cashback.errors import LandingLinkRefused, MerchantNotClickable
from domains.cashback.service import click_desk, receipts
from domains.merchants import service as merchants
from wapsi.errors import NotFound
from wapsi.http import keyed
from wapsi.http.keyed import KeyedRequest

CLICKS_DOC = (Path(__file__).parents[3] / "docs" / "clicks.md").read_text()
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
TO_DARAZ = service.NewClick(merchant="daraz", user_agent=BROWSER)


@pytest.fixture
def desk(world: Any) -> service.ClickDesk:
    return service.click_desk_of(world.runtime)


def rate(bps: int) -> merchants.Rate:
    return merchants.Rate("", merchants.CustomerType.UNKNOWN, merchants.RateKind.PERCENT, bps, None, "PKR", None)


async def publish(world: Any, bps: int) -> None:
    async with world.db.write() as session:
        await merchants.publish_rates(session, None, "daraz", merchants.NewSchedule((rate(bps),)))


def promised(world: Any, click: service.Click) -> receipts.Receipt:
    return receipts.read(world.runtime.keys, click.receipt)


async def test_a_hundred_at_once_are_all_there_and_each_has_its_own(world: Any, desk: service.ClickDesk) -> None:
    customers = [await world.customer() for _ in range(5)]
    made = await asyncio.gather(*(desk.submit(customers[number % 5], TO_DARAZ) for number in range(100)))
    assert len({click.id for click in made}) == 100
    rows = {row["id"]: row for row in await world.sql("SELECT id, customer_id, receipt FROM clicks")}
    for number, click in enumerate(made):
        assert rows[click.id]["customer_id"] == customers[number % 5]
        assert rows[click.id]["receipt"] == click.receipt
        assert promised(world, click).click_id == click.id
    commits = await world.sql("SELECT count(DISTINCT xmin::text) AS n FROM clicks")
    assert commits[0]["n"] < 50


async def test_a_key_that_was_used_between_the_look_at_it_and_the_click_is_answered_as_then_and_harms_nobody(
    world: Any, desk: service.ClickDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, other = await world.customer(), await world.customer()
    request = KeyedRequest(f"customer:{customer}", "key", [b"fingerprint"])
    first = await desk.submit_keyed(customer, TO_DARAZ, request, body_of)
    looks = 0

    async def claim_before(driver: Any, requests: Any) -> Any:
        nonlocal looks
        looks += 1
        return [None] * len(requests) if looks == 1 else await keyed.claim(driver, requests)

    monkeypatch.setattr(click_desk, "claim", claim_before)
    again, beside = await asyncio.gather(
        desk.submit_keyed(customer, TO_DARAZ, request, body_of), desk.submit(other, TO_DARAZ)
    )
    assert looks >= 2
    assert (again.body, again.replayed) == (first.body, True)
    rows = await world.sql("SELECT id FROM clicks ORDER BY clicked_at")
    assert [str(row["id"]) for row in rows] == [first.body.decode(), str(beside.id)]


def body_of(click: service.Click) -> bytes:
    return str(click.id).encode()


async def test_refused_ones_leave_nothing_and_do_not_harm_the_others(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    await world.merchant("paused")
    await world.sql("UPDATE merchants SET status = 'paused' WHERE slug = 'paused'")
    wanted = [
        TO_DARAZ,
        service.NewClick(merchant="nowhere"),
        service.NewClick(merchant="daraz", link="https://evil.example/"),
        service.NewClick(merchant="paused"),
        service.NewClick(offer_id=uuid4()),
        TO_DARAZ,
    ]
    answers: list[Any] = await asyncio.gather(
        *(desk.submit(customer, new) for new in wanted), desk.submit(uuid4(), TO_DARAZ), return_exceptions=True
    )
    kinds = [service.Click, NotFound, LandingLinkRefused, MerchantNotClickable, NotFound, service.Click, NotFound]
    assert all(isinstance(answer, kind) for answer, kind in zip(answers, kinds, strict=True)), answers
    assert {row["id"] for row in await world.sql("SELECT id FROM clicks")} == {answers[0].id, answers[5].id}


async def test_rates_published_before_a_click_are_promised_by_it(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    for bps in (100, 1_500, 250):
        await publish(world, bps)
        receipt = promised(world, await desk.submit(customer, TO_DARAZ))
        assert [line.percent_bps for line in receipt.schedule.rates] == [bps]
    assert promised(world, await desk.submit(customer, TO_DARAZ)).schedule.version == 4


async def test_what_is_promised_never_lags_behind_publications_that_go_on(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    published = [1]
    done = asyncio.Event()

    async def publishing() -> None:
        for number in range(10):
            await publish(world, 100 + number)
            published[0] += 1
        done.set()

    async def clicking() -> None:
        while not done.is_set():
            before = published[0]
            version = promised(world, await desk.submit(customer, TO_DARAZ)).schedule.version
            assert before <= version <= published[0] + 1

    await asyncio.gather(publishing(), *(clicking() for _ in range(4)))


async def test_schedule_that_begins_later_is_not_promised_yet(world: Any, desk: service.ClickDesk) -> None:
    await world.sql(
        "INSERT INTO rate_schedules (merchant_id, version, valid_from, published_by)"
        " SELECT id, 2, now() + interval '1 hour', 'test' FROM merchants"
    )
    assert promised(world, await desk.submit(await world.customer(), TO_DARAZ)).schedule.version == 1


async def test_change_of_a_merchant_is_seen_by_the_next_click(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    await desk.submit(customer, TO_DARAZ)
    async with world.db.write() as session:
        await merchants.update_merchant(session, None, "daraz", {"validation_days": 7, "click_window_days": 3})
    receipt = promised(world, await desk.submit(customer, TO_DARAZ))
    assert (receipt.validation_days, receipt.click_window_days) == (7, 3)


async def test_suspended_customer_makes_no_click(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    await desk.submit(customer, TO_DARAZ)
    await world.sql("UPDATE customers SET status = 'suspended'")
    with pytest.raises(Exception, match="not active"):
        await desk.submit(customer, TO_DARAZ)


async def test_of_equal_clicks_in_one_group_the_first_is_the_visit(world: Any, desk: service.ClickDesk) -> None:
    customer, other = await world.customer(), await world.customer()
    await asyncio.gather(*(desk.submit(customer, TO_DARAZ) for _ in range(3)), desk.submit(other, TO_DARAZ))
    rows = await world.sql("SELECT customer_id, duplicate_of FROM clicks")
    marked = [row["customer_id"] for row in rows if row["duplicate_of"] is not None]
    assert marked == [customer, customer]


async def test_taps_in_groups_that_run_side_by_side_are_one_visit(world: Any, desk: service.ClickDesk) -> None:
    customers = [await world.customer() for _ in range(20)]
    await asyncio.gather(*(desk.submit(customer, TO_DARAZ) for _ in range(3) for customer in customers))
    rows = await world.sql("SELECT customer_id FROM clicks WHERE duplicate_of IS NULL")
    assert sorted(row["customer_id"] for row in rows) == sorted(customers)


async def test_visit_after_a_while_is_another_one(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    await desk.submit(customer, TO_DARAZ)
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=11)):
        await desk.submit(customer, TO_DARAZ)
    rows = await world.sql("SELECT duplicate_of FROM clicks")
    assert [row["duplicate_of"] for row in rows] == [None, None]


async def test_receipt_verifies_with_the_published_keys_alone(
    api: httpx2.AsyncClient, world: Any, desk: service.ClickDesk
) -> None:
    """By the very lines that the documentation gives to everybody."""
    [lines] = re.findall(r"```python\n(.*?)```", CLICKS_DOC, re.DOTALL)
    given: dict[str, Any] = {}
    exec(lines, given)
    customers = [await world.customer() for _ in range(3)]
    clicks = await asyncio.gather(*(desk.submit(customer, TO_DARAZ) for customer in customers))
    published = (await api.get("/.well-known/jwks.json")).json()
    for customer, click in zip(customers, clicks, strict=True):
        claims = given["verified"](click.receipt, published)
        assert (claims["jti"], claims["sub"]) == (str(click.id), str(customer))
    head, payload, proof = clicks[0].receipt.split(".")
    for forged in (f"{head}.{clicks[1].receipt.split('.')[1]}.{proof}", f"{head}.{payload}.{proof[:-43]}"):
        with pytest.raises(InvalidSignature):
            given["verified"](forged, published)
    click = clicks[-1]
    assert (claims["jti"], claims["merchant"], claims["rate_version"]) == (str(click.id), "daraz", 1)
    assert [line["percent_bps"] for line in claims["rates"]] == [800, 500, 200]
    assert claims["merchant_id"] == str(world.merchant_id)


async def test_marked_clicks_are_not_paid_twice(world: Any, desk: service.ClickDesk) -> None:
    customer = await world.customer()
    first = await desk.submit(customer, TO_DARAZ)
    second = await desk.submit(customer, TO_DARAZ)
    robot = await desk.submit(customer, service.NewClick(merchant="daraz", user_agent="Googlebot/2.1"))
    for event, click in enumerate((first, second, robot)):
        await world.report(f"e-{event}", conversion_id="one-sale", click_id=str(click.id))
    rows = await world.sql("SELECT amount_minor FROM rewards")
    assert [row["amount_minor"] for row in rows] == [5_000]
    assert (await world.balance(customer))["pending"] == 5_000


async def test_many_who_follow_at_once_are_all_noted_and_only_once(
    api: httpx2.AsyncClient, world: Any, desk: service.ClickDesk
) -> None:
    made = [await desk.submit(await world.customer(), TO_DARAZ) for _ in range(10)]
    paths = [click.url.removeprefix("http://wapsi.test") for click in made]
    answers = await asyncio.gather(*(api.get(path) for path in paths * 3))
    assert {answer.status_code for answer in answers} == {302}
    first = {row["id"]: row["redirected_at"] for row in await world.sql("SELECT id, redirected_at FROM clicks")}
    assert None not in first.values()
    await asyncio.gather(*(api.get(path) for path in paths))
    again = {row["id"]: row["redirected_at"] for row in await world.sql("SELECT id, redirected_at FROM clicks")}
    assert again == first


async def test_link_of_a_click_that_is_not_there_is_unknown_and_harms_nobody(
    api: httpx2.AsyncClient, world: Any, desk: service.ClickDesk
) -> None:
    gone, there = [await desk.submit(await world.customer(), TO_DARAZ) for _ in range(2)]
    await world.sql("DELETE FROM clicks WHERE id = $1", gone.id)
    answers = await asyncio.gather(*(api.get(click.url.removeprefix("http://wapsi.test")) for click in (gone, there)))
    assert [answer.status_code for answer in answers] == [404, 302]


class TestKeys:
    """As tests/platform/http/test_idempotency.py asks of every route, for those that are answered in groups."""

    @pytest.fixture
    def post(self, api: httpx2.AsyncClient, world: Any, shopper_headers: dict[str, str]) -> Any:
        async def post(key: str | None, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
            keyed = {} if key is None else {"Idempotency-Key": key}
            return await api.post(
                "/v1/clicks", json=body or {"merchant": "daraz"}, headers=(headers or shopper_headers) | keyed
            )

        return post

    @pytest.mark.parametrize("key", [None, ""])
    async def test_without_a_key_the_answer_is_400(self, world: Any, post: Any, key: str | None) -> None:
        answer = await post(key)
        assert (answer.status_code, answer.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING")
        assert await world.sql("SELECT 1 FROM clicks") == []

    async def test_a_key_has_at_most_200_characters(self, post: Any) -> None:
        assert (await post("x" * 200)).status_code == 201
        assert (await post("x" * 201)).status_code == 422

    async def test_a_repetition_gets_the_first_answer_and_changes_nothing(self, world: Any, post: Any) -> None:
        first = await post("k-1")
        assert (first.status_code, "idempotency-replayed" in first.headers) == (201, False)
        for _ in range(2):
            again = await post("k-1")
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["idempotency-replayed"] == "true"
            assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
        assert len(await world.sql("SELECT 1 FROM clicks")) == 1

    async def test_the_same_key_with_another_body_is_refused(self, world: Any, post: Any) -> None:
        await post("k-1")
        answer = await post("k-1", merchant="daraz", link="https://daraz.example/x")
        assert (answer.status_code, answer.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert len(await world.sql("SELECT 1 FROM clicks")) == 1

    async def test_another_callers_equal_key_is_another_key(
        self, world: Any, post: Any, stranger_headers: dict[str, str]
    ) -> None:
        answers = [await post("k-1"), await post("k-1", stranger_headers)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert len(await world.sql("SELECT 1 FROM clicks")) == 2

    async def test_of_parallel_requests_one_works_and_the_others_wait_or_repeat_it(self, world: Any, post: Any) -> None:
        answers = await asyncio.gather(*(post("k-1") for _ in range(8)), post("k-2"))
        made = {answer.json()["click_id"] for answer in answers[:8] if answer.status_code == 201}
        assert len(made) == 1
        refused = {(a.status_code, a.json()["reason"]) for a in answers[:8] if a.status_code != 201}
        assert refused <= {(409, "IDEMPOTENCY_IN_FLIGHT")}
        assert answers[8].status_code == 201
        assert len(await world.sql("SELECT 1 FROM clicks")) == 2
        assert (await post("k-1")).headers["idempotency-replayed"] == "true"

    async def test_one_under_way_elsewhere_is_in_flight(self, world: Any, post: Any, shopper_id: UUID) -> None:
        """In another process, or another route: what is held is a lock of the database."""
        name = f"idempotency customer:{shopper_id} k-1"
        async with world.db.write() as session:
            driver = await session.driver()
            await driver.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
            answers = await asyncio.gather(post("k-1"), post("k-2"))
        assert [answer.status_code for answer in answers] == [409, 201]
        assert answers[0].json()["reason"] == "IDEMPOTENCY_IN_FLIGHT"
        assert (await post("k-1")).status_code == 201

    async def test_a_refused_click_stores_nothing_and_its_key_is_good_for_another_try(
        self, world: Any, post: Any
    ) -> None:
        await world.sql("UPDATE merchants SET status = 'paused'")
        assert (await post("k-1")).status_code == 409
        await world.sql("UPDATE merchants SET status = 'active'")
        answer = await post("k-1")
        assert (answer.status_code, "idempotency-replayed" in answer.headers) == (201, False)

    @pytest.mark.parametrize(
        "headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}], ids=["none", "bad", "other"]
    )
    async def test_bad_credentials_are_refused(self, world: Any, post: Any, headers: dict[str, str]) -> None:
        assert (await post("k-1", headers | {"X": "y"})).status_code == 401

    async def test_body_that_is_none_is_said_by_field(
        self, api: httpx2.AsyncClient, world: Any, shopper_headers: dict[str, str], post: Any
    ) -> None:
        assert (await post("k-1", merchant=7)).status_code == 422
        headers = shopper_headers | {"Idempotency-Key": "k-2", "Content-Type": "application/json"}
        assert (await api.post("/v1/clicks", content=b"{", headers=headers)).status_code == 422
        assert await world.sql("SELECT 1 FROM clicks") == []
