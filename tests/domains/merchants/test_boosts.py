"""Campaigns: what they raise, and what is refused because it would raise nothing or rewrite the past."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domains.merchants import service
from domains.merchants.service import Boost, CustomerType, Rate, RateKind, RateSchedule, raised
from wapsi.db import Database
from wapsi.ids import new_id
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
SOON = timedelta(days=1)


def percent(bps: int, category: str = "", kind: str = "unknown", cap_minor: int | None = None) -> Rate:
    return Rate(category, CustomerType(kind), RateKind.PERCENT, bps, None, "PKR", cap_minor)


def fixed(amount_minor: int, category: str = "") -> Rate:
    return Rate(category, CustomerType.UNKNOWN, RateKind.FIXED, None, amount_minor, "PKR")


def schedule(*rates: Rate) -> RateSchedule:
    return RateSchedule(UUID(int=0), 1, MOMENT, None, rates, "", "")


def boost(added_bps: int | None = 100, **changes: Any) -> Boost:
    fields: dict[str, Any] = {
        "id": new_id(),
        "name": "Eid",
        "rate_category": None,
        "customer_type": None,
        "joined_from": None,
        "added_bps": added_bps,
        "added_minor": None,
        "raised_cap_minor": None,
        "starts_at": MOMENT,
        "ends_at": MOMENT + SOON,
    }
    return Boost(**(fields | changes))


def test_without_a_campaign_the_schedule_is_the_same() -> None:
    plain = schedule(percent(500))
    assert raised(plain, []) == (plain, ())


def test_percentages_and_fixed_amounts_are_raised_by_their_own() -> None:
    plain = schedule(percent(500), fixed(1_000, "apps"))
    by_percent, told = raised(plain, [boost(100)])
    assert by_percent.rates == (percent(600), fixed(1_000, "apps"))
    assert [(rate.rate_category, rate.added_bps) for rate in told] == [("", 100)]
    by_amount, _ = raised(plain, [boost(None, added_minor=50)])
    assert by_amount.rates == (percent(500), fixed(1_050, "apps"))


def test_of_several_campaigns_the_one_that_adds_most_counts() -> None:
    found, told = raised(schedule(percent(500)), [boost(100), boost(300, name="Flash"), boost(200)])
    assert found.rates == (percent(800),)
    assert [rate.name for rate in told] == ["Flash"]


def test_category_and_type_without_a_rate_of_their_own_get_one() -> None:
    plain = schedule(percent(500), percent(200, "phones"))
    found, _ = raised(plain, [boost(100, rate_category="shoes"), boost(300, customer_type=CustomerType.NEW)])
    bps = {(rate.rate_category, str(rate.customer_type)): rate.percent_bps for rate in found.rates}
    assert bps == {
        ("", "unknown"): 500,
        ("phones", "unknown"): 200,
        ("shoes", "unknown"): 600,
        ("", "new"): 800,
        ("phones", "new"): 500,
    }


def test_nothing_is_raised_above_all_of_the_sale_and_no_cap_is_lowered() -> None:
    found, _ = raised(schedule(percent(9_950, cap_minor=5_000)), [boost(100, raised_cap_minor=1_000)])
    assert found.rates == (percent(10_000, cap_minor=5_000),)


@pytest.mark.parametrize(
    ("clicked", "joined", "expected"),
    [
        (MOMENT - timedelta(microseconds=1), MOMENT, False),
        (MOMENT, MOMENT, True),
        (MOMENT + SOON - timedelta(microseconds=1), MOMENT, True),
        (MOMENT + SOON, MOMENT, False),
        (MOMENT, MOMENT - SOON, False),
    ],
)
def test_it_holds_from_its_start_to_before_its_end_for_those_who_joined(
    clicked: datetime, joined: datetime, expected: bool
) -> None:
    assert boost(joined_from=MOMENT).is_for(joined, clicked) == expected


@pytest.fixture
async def shop(db: Database) -> str:
    async with db.write() as session:
        await service.create_merchant(session, None, service.NewMerchant("daraz", "Daraz", "PKR"))
        await service.publish_rates(session, None, "daraz", service.NewSchedule((percent(500),)))
    return "daraz"


async def add(db: Database, slug: str, **changes: Any) -> Boost:
    fields: dict[str, Any] = {"ends_at": datetime.now(UTC) + SOON, "added_bps": 100}
    async with db.write() as session:
        return await service.add_boost(session, OPERATOR, slug, service.NewBoost("Eid", **(fields | changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"added_bps": None}, "added_minor must be given"),
        ({"added_minor": 5}, "not both"),
        ({"added_bps": 10_001}, "must be 1 to 10000"),
        ({"added_bps": None, "added_minor": 5}, "raises nothing: no rate that it is for is a fixed amount"),
        ({"starts_at": MOMENT - timedelta(days=400)}, "lies in the past"),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "must be after the start"),
        ({"ends_at": datetime(2100, 1, 1, tzinfo=UTC)}, "by at most 366 days"),
        ({"ends_at": datetime(2100, 1, 1)}, "must name its UTC offset"),  # noqa: DTZ001
        ({"customer_type": CustomerType.UNKNOWN}, "new, existing, or left out"),
    ],
)
async def test_campaign_that_makes_no_sense_is_refused(
    db: Database, shop: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(service.BoostInvalid, match=message):
        await add(db, shop, **changes)


async def test_ended_twice_unknown_and_another_shops_are_refused(db: Database, shop: str) -> None:
    made = await add(db, shop)
    async with db.write() as session:
        await service.create_merchant(session, None, service.NewMerchant("other", "Other", "PKR"))
    for slug, boost_id, refusal in (
        ("other", made.id, service.BoostNotFound),
        (shop, new_id(), service.BoostNotFound),
        ("nowhere", made.id, service.MerchantNotFound),
    ):
        with pytest.raises(refusal):
            async with db.write() as session:
                await service.end_boost(session, OPERATOR, slug, boost_id)
    async with db.write() as session:
        await service.end_boost(session, OPERATOR, shop, made.id)
    with pytest.raises(service.BoostEnded):
        async with db.write() as session:
            await service.end_boost(session, OPERATOR, shop, made.id)
    async with db.read() as session:
        merchant = await service.get_merchant(session, shop)
        assert await service.boosts_of(session, merchant.id) == []
