"""How well a merchant tracks: from real rows, silent where there are too few, and told to shoppers before they go."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from opentelemetry.metrics import CallbackOptions

from domains.cashback.service import stats, tracking
from wapsi.errors import Unavailable

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
NOTHING_KNOWN = {
    "lag_p50_s": None,
    "lag_p95_s": None,
    "confirmation_p50_s": None,
    "confirmation_p95_s": None,
    "confirmed_percent": None,
    "declined_percent": None,
    "outage": False,
    "outage_since": None,
    "notice": None,
}


@pytest.fixture
def shown(api: httpx2.AsyncClient, world: Any) -> Any:
    async def shown() -> Any:
        await world.run_periodic("cashback.watch_tracking")
        answer = await api.get("/v1/merchants/daraz/tracking-stats")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return shown


async def past(world: Any, *, clicks: int, sales: int, first: int = 1, hours: int = 36 * 24) -> None:
    """So many an hour, from `first` hours ago on back."""
    await world.sql(
        "INSERT INTO tracking_hours (merchant_id, hour, clicks, sales)"
        " SELECT $1, date_trunc('hour', now(), 'UTC') - make_interval(hours => h), $2, $3"
        " FROM generate_series($4::int, $5::int) AS h"
        " ON CONFLICT (merchant_id, hour) DO UPDATE SET clicks = excluded.clicks, sales = excluded.sales",
        world.merchant_id,
        clicks,
        sales,
        first,
        first + hours - 1,
    )


async def test_before_anything_was_counted_nothing_is_known(api: httpx2.AsyncClient, world: Any) -> None:
    answer = await api.get("/v1/merchants/daraz/tracking-stats")
    assert answer.json() == NOTHING_KNOWN | {
        "merchant": "daraz",
        "window_days": 90,
        "min_sample": 20,
        "clicks": 0,
        "sales": 0,
        "lag_sample": 0,
        "confirmation_sample": 0,
        "decided_sample": 0,
        "state": "unknown",
        "window_hours": None,
        "window_sales": None,
        "expected_sales": None,
        "computed_at": None,
    }


async def test_few_sales_give_no_figures(world: Any, shown: Any) -> None:
    click = await world.click(await world.customer())
    await world.report(click_id=str(click.id), status="approved")
    found = await shown()
    assert (found["clicks"], found["sales"], found["lag_sample"], found["confirmation_sample"]) == (1, 1, 1, 1)
    assert found["decided_sample"] == 1
    assert {name: found[name] for name in NOTHING_KNOWN} == NOTHING_KNOWN
    assert (found["state"], found["computed_at"] is None) == ("unknown", False)


async def test_figures_from_twenty_sales(world: Any, shown: Any) -> None:
    click = await world.click(await world.customer())
    start = datetime.now(UTC)
    for number in range(25):
        await world.report(
            conversion_id=f"sale-{number}",
            click_id=str(click.id),
            status="declined" if number < 5 else "approved",
            # 0, 20, … 480 seconds before they were heard of, and confirmed at once
            occurred_at=start - timedelta(seconds=20 * number),
        )
    found = await shown()
    assert (found["sales"], found["lag_sample"], found["decided_sample"]) == (25, 25, 25)
    assert found["confirmation_sample"] == 20
    assert (found["confirmed_percent"], found["declined_percent"]) == (80, 20)
    assert 240 <= found["lag_p50_s"] < 300
    assert 460 <= found["lag_p95_s"] < 520
    # Those that were declined are not among them: 100 to 480 seconds.
    assert 280 <= found["confirmation_p50_s"] < 340
    assert 460 <= found["confirmation_p95_s"] < 520


async def test_bots_double_clicks_and_sales_without_a_click_do_not_count(world: Any, shown: Any) -> None:
    shopper = await world.customer()
    for _ in range(3):
        await world.click(shopper)
    await world.click(await world.customer())
    await world.sql("UPDATE clicks SET bot = true WHERE customer_id != $1", shopper)
    await world.report()
    found = await shown()
    assert (found["clicks"], found["sales"]) == (1, 0)


async def test_counting_again_counts_the_same(world: Any, shown: Any) -> None:
    click = await world.click(await world.customer())
    await world.report(click_id=str(click.id))
    first = await shown()
    await world.report(conversion_id="sale-2", click_id=str(click.id))
    again = await shown()
    assert (first["clicks"], first["sales"]) == (1, 1)
    assert (again["clicks"], again["sales"]) == (1, 2)


async def test_what_is_older_than_ninety_days_is_forgotten(world: Any, shown: Any) -> None:
    await past(world, clicks=7, sales=3, first=91 * 24, hours=2)
    await past(world, clicks=1, sales=1, first=50, hours=1)
    assert (await shown())["clicks"] == 1


async def test_sales_that_stay_out_are_an_outage_until_they_come_again(world: Any, shown: Any) -> None:
    await past(world, clicks=20, sales=1)
    assert (await shown())["state"] == "normal"
    await past(world, clicks=20, sales=0, hours=24)
    found = await shown()
    assert (found["state"], found["outage"]) == ("low", True)
    assert (found["window_hours"], found["window_sales"], found["expected_sales"]) == (24, 0, 24)
    assert found["outage_since"] is not None
    assert found["notice"].startswith("Since ")
    assert [each.value for each in tracking.low.observe(CallbackOptions())] == [1]
    assert (await shown())["outage_since"] == found["outage_since"], "it began when it began"
    await past(world, clicks=20, sales=1, hours=24)
    found = await shown()
    assert (found["state"], found["outage"], found["notice"]) == ("normal", False, None)
    assert [each.value for each in tracking.low.observe(CallbackOptions())] == [0]


async def test_more_sales_than_clicks_can_explain_are_told_to_those_on_call_only(world: Any, shown: Any) -> None:
    await past(world, clicks=20, sales=1)
    await past(world, clicks=20, sales=4, hours=24)
    found = await shown()
    assert (found["state"], found["outage"], found["notice"]) == ("high", False, None)
    assert [each.value for each in tracking.high.observe(CallbackOptions())] == [1]


async def test_shopper_is_told_with_the_click(
    api: httpx2.AsyncClient,
    world: Any,
    shown: Any,
    shopper_headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def told() -> Any:
        headers = shopper_headers | BROWSER | {"Idempotency-Key": uuid4().hex}
        made = await api.post("/v1/clicks", json={"merchant": "daraz"}, headers=headers)
        assert made.status_code == 201, made.text
        return made.json()["tracking"]

    assert await told() is None
    await past(world, clicks=20, sales=1)
    await past(world, clicks=20, sales=0, hours=24)
    found = await shown()
    assert await told() is None, "a minute is not too old"
    monkeypatch.setattr(stats, "REMEMBERED_S", 0.0)
    assert await told() == {name: found[name] for name in (*NOTHING_KNOWN, "decided_sample")}
    assert found["outage"] is True


async def test_what_is_told_beside_a_click_never_costs_the_click() -> None:
    """Its table cannot be read, for once."""

    class Unreachable:
        async def __aenter__(self) -> Any:
            raise Unavailable("The database does not answer.")

        async def __aexit__(self, *_: object) -> None: ...

    board = stats.TrackingBoard(SimpleNamespace(read=Unreachable))
    await board.refresh()
    assert board.of(UUID(int=1)) is None


async def test_unknown_merchant_has_none(api: httpx2.AsyncClient, world: Any) -> None:
    assert (await api.get("/v1/merchants/nobody/tracking-stats")).status_code == 404
