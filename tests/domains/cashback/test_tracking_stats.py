"""How well a merchant tracks: from real rows, and silent where there are too few."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2


async def test_few_sales_give_no_figures(api: httpx2.AsyncClient, world: Any) -> None:
    shopper = await world.customer()
    click = await world.click(shopper)
    await world.report(click_id=str(click.id), status="approved")
    answer = await api.get("/v1/merchants/daraz/tracking-stats")
    assert answer.json() == {
        "merchant": "daraz",
        "window_days": 90,
        "min_sample": 20,
        "clicks": 1,
        "sales": 1,
        "lag_sample": 1,
        "lag_p50_s": None,
        "lag_p95_s": None,
        "decided_sample": 1,
        "confirmed_percent": None,
        "declined_percent": None,
    }


async def test_figures_from_twenty_sales(api: httpx2.AsyncClient, world: Any) -> None:
    click = await world.click(await world.customer())
    start = datetime.now(UTC)
    for number in range(20):
        await world.report(
            conversion_id=f"sale-{number}",
            click_id=str(click.id),
            status="declined" if number < 5 else "approved",
            # 0, 30, … 570 seconds before they were heard of
            occurred_at=start - timedelta(seconds=30 * number),
        )
    stats = (await api.get("/v1/merchants/daraz/tracking-stats")).json()
    assert (stats["sales"], stats["lag_sample"], stats["decided_sample"]) == (20, 20, 20)
    assert (stats["confirmed_percent"], stats["declined_percent"]) == (75, 25)
    assert 270 <= stats["lag_p50_s"] < 300
    assert 540 <= stats["lag_p95_s"] < 570


async def test_bots_and_double_clicks_do_not_count(api: httpx2.AsyncClient, world: Any) -> None:
    shopper = await world.customer()
    for _ in range(3):
        await world.click(shopper)
    await world.click(await world.customer())
    await world.sql("UPDATE clicks SET bot = true WHERE customer_id != $1", shopper)
    assert (await api.get("/v1/merchants/daraz/tracking-stats")).json()["clicks"] == 1


async def test_unknown_merchant_has_none(api: httpx2.AsyncClient, world: Any) -> None:
    assert (await api.get("/v1/merchants/nobody/tracking-stats")).status_code == 404
