"""Rate schedules: what was published stays, each moment has one schedule, and a rate is always found."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import sqlalchemy.exc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domains.merchants import service
from domains.merchants.errors import MerchantArchived, MerchantNotFound, NoRates, RatesInvalid, RatesNotLater
from domains.merchants.service import (
    CustomerType,
    MerchantRef,
    MerchantStatus,
    NewSchedule,
    Rate,
    RateKind,
    RateSchedule,
)
from wapsi.clock import now
from wapsi.db import Database

MakeMerchant = Callable[..., Awaitable[MerchantRef]]
Percent = Callable[..., Rate]
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]


async def publish(db: Database, slug: str, *rates: Rate, in_days: float | None = None) -> RateSchedule:
    valid_from = None if in_days is None else now() + timedelta(days=in_days)
    async with db.write() as session:
        return await service.publish_rates(session, None, slug, NewSchedule(rates, valid_from))


# Finding a rate


def test_the_closest_rate_counts(percent: Percent) -> None:
    schedule = RateSchedule(
        merchant_id=None,  # type: ignore[arg-type]
        version=1,
        valid_from=now(),
        valid_until=None,
        rates=(
            percent(100),
            percent(200, customer_type="new"),
            percent(300, category="shoes"),
            percent(400, category="shoes", customer_type="new"),
            percent(500, category="books"),
        ),
        exclusions="",
        terms="",
    )

    def bps(category: str, customer_type: str) -> int | None:
        return schedule.rate_for(category, customer_type).percent_bps

    assert bps("shoes", "new") == 400
    assert bps("shoes", "existing") == 300, "of the category, for any customer"
    assert bps("books", "new") == 500, "the category comes before the customer's type"
    assert bps("toys", "new") == 200, "no such category: the default, of the customer's type"
    assert bps("toys", "existing") == 100
    assert bps("", "unknown") == 100


# Publishing


async def test_versions_count_up_and_each_ends_where_the_next_begins(
    db: Database, make_merchant: MakeMerchant, percent: Percent
) -> None:
    merchant = await make_merchant("daraz")
    second = await publish(db, "daraz", percent(500, cap_minor=100_000), in_days=1)
    third = await publish(db, "daraz", percent(100), in_days=2)
    assert (second.version, third.version) == (2, 3)

    async with db.read() as session:
        current, upcoming = await service.current_and_upcoming(session, merchant.id, now())
        later = await service.rates_at(session, merchant.id, second.valid_from)
        last = await service.rates_at(session, merchant.id, now() + timedelta(days=99))
    assert current is not None
    assert [current.valid_until, *(schedule.valid_until for schedule in upcoming)] == [
        second.valid_from,
        third.valid_from,
        None,
    ]
    assert later.rates == (percent(500, cap_minor=100_000),)
    assert later.valid_until == third.valid_from
    assert last.version == 3


async def test_before_the_first_schedule_there_are_no_rates(db: Database, make_merchant: MakeMerchant) -> None:
    merchant = await make_merchant("daraz")
    async with db.read() as session:
        with pytest.raises(NoRates):
            await service.rates_at(session, merchant.id, now() - timedelta(days=1))
        current, upcoming = await service.current_and_upcoming(session, merchant.id, now() - timedelta(days=1))
    assert current is None
    assert [schedule.version for schedule in upcoming] == [1]


async def test_rates_in_the_past_are_refused(db: Database, make_merchant: MakeMerchant, percent: Percent) -> None:
    await make_merchant("daraz")
    with pytest.raises(RatesNotLater, match="past"):
        await publish(db, "daraz", percent(1), in_days=-1)


async def test_rates_that_do_not_begin_after_the_latest_are_refused(
    db: Database, make_merchant: MakeMerchant, percent: Percent
) -> None:
    await make_merchant("daraz")
    upcoming = await publish(db, "daraz", percent(1), in_days=2)
    with pytest.raises(RatesNotLater, match="version 2") as refused:
        await publish(db, "daraz", percent(2), in_days=1)
    assert refused.value.metadata["valid_from"] == upcoming.valid_from.isoformat()


async def test_concurrent_publications_follow_one_another(
    db: Database, make_merchant: MakeMerchant, percent: Percent, admin_sql: SQL
) -> None:
    await make_merchant("daraz")
    results = await asyncio.gather(
        *(publish(db, "daraz", percent(bps), in_days=bps) for bps in range(1, 6)), return_exceptions=True
    )
    published = [result for result in results if isinstance(result, RateSchedule)]
    refused = [result for result in results if not isinstance(result, RateSchedule)]
    assert published
    assert all(isinstance(error, RatesNotLater) for error in refused), refused
    rows = await admin_sql("SELECT version, valid_from FROM rate_schedules ORDER BY version")
    assert [row["version"] for row in rows] == list(range(1, len(published) + 2))
    assert [row["valid_from"] for row in rows] == sorted(row["valid_from"] for row in rows)


async def test_an_archived_merchant_takes_no_new_rates(
    db: Database, make_merchant: MakeMerchant, percent: Percent
) -> None:
    await make_merchant("daraz", status=MerchantStatus.ARCHIVED)
    with pytest.raises(MerchantArchived):
        await publish(db, "daraz", percent(1))


async def test_rates_of_an_unknown_merchant_are_refused(db: Database, percent: Percent) -> None:
    with pytest.raises(MerchantNotFound):
        await publish(db, "nobody", percent(1))


def fixed(amount_minor: int | None, **changes: Any) -> Rate:
    fields: dict[str, Any] = {
        "rate_category": "",
        "customer_type": CustomerType.UNKNOWN,
        "kind": RateKind.FIXED,
        "percent_bps": None,
        "fixed_minor": amount_minor,
        "currency": "PKR",
        "cap_minor": None,
    }
    return Rate(**fields | changes)


@pytest.mark.parametrize(
    ("rates", "fault"),
    [
        ([], "needs a default"),
        ([fixed(1, rate_category="shoes")], "needs a default"),
        ([fixed(1, customer_type=CustomerType.NEW)], "needs a default"),
        ([fixed(1), fixed(2)], "twice"),
        ([fixed(1, currency="USD")], "merchant's currency"),
        ([fixed(None)], "fixed_minor"),
        ([fixed(-1)], "fixed_minor"),
        ([fixed(1, percent_bps=1)], "no percent_bps"),
        ([fixed(1, cap_minor=0)], "cap_minor"),
        ([fixed(1, kind=RateKind.PERCENT)], "percent_bps"),
        ([fixed(None, kind=RateKind.PERCENT, percent_bps=10_001)], "10000"),
        ([fixed(None, kind=RateKind.PERCENT)], "percent_bps"),
        ([fixed(1, rate_category=str(number)) for number in range(1001)], "1000"),
        ([fixed(2), fixed(1, customer_type=CustomerType.EXISTING)], "existing customers less than unknown ones"),
        ([fixed(2), fixed(1, rate_category="a", customer_type=CustomerType.NEW)], "new customers less than unknown"),
        ([fixed(2), fixed(2, customer_type=CustomerType.NEW, cap_minor=1)], "new customers less than unknown ones"),
    ],
)
async def test_rates_that_make_no_sense_are_refused(
    db: Database, make_merchant: MakeMerchant, rates: list[Rate], fault: str
) -> None:
    await make_merchant("daraz")
    with pytest.raises(RatesInvalid) as refused:
        await publish(db, "daraz", *rates)
    assert any(fault in violation.description for violation in refused.value.violations)


async def test_a_naive_time_is_refused(db: Database, make_merchant: MakeMerchant, percent: Percent) -> None:
    await make_merchant("daraz")
    naive = now().replace(tzinfo=None)
    async with db.write() as session:
        with pytest.raises(RatesInvalid, match="UTC offset"):
            await service.publish_rates(session, None, "daraz", NewSchedule((percent(1),), naive))


# Immutability


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rates SET percent_bps = 9999",
        "DELETE FROM rates",
        "UPDATE rate_schedules SET valid_from = now()",
        "DELETE FROM rate_schedules",
        "TRUNCATE rates",
    ],
)
async def test_published_rates_cannot_be_changed(
    db: Database, make_merchant: MakeMerchant, admin_sql: SQL, statement: str
) -> None:
    await make_merchant("daraz")
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="permission denied"):
        async with db.write() as session:
            await session.execute(text(statement))
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await admin_sql(statement)


@pytest.mark.parametrize(
    "values",
    [
        "'percent', NULL, NULL, 'PKR', NULL",
        "'percent', 100, 5, 'PKR', NULL",
        "'percent', 10001, NULL, 'PKR', NULL",
        "'fixed', NULL, NULL, 'PKR', NULL",
        "'fixed', NULL, -1, 'PKR', NULL",
        "'barter', NULL, 1, 'PKR', NULL",
        "'fixed', NULL, 1, 'pkr', NULL",
        "'fixed', NULL, 1, 'PKR', 0",
    ],
)
async def test_the_database_refuses_impossible_rates_too(
    make_merchant: MakeMerchant, admin_sql: SQL, values: str
) -> None:
    await make_merchant("daraz")
    with pytest.raises(asyncpg.CheckViolationError):
        await admin_sql(
            "INSERT INTO rates (schedule_id, rate_category, customer_type, kind, percent_bps, fixed_minor, currency,"
            f" cap_minor) SELECT id, 'x', 'new', {values} FROM rate_schedules"
        )


# Intervals


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    starts=st.lists(st.integers(0, 1000), min_size=1, max_size=12, unique=True),
    moments=st.lists(st.integers(-50, 1050), min_size=1, max_size=12),
)
async def test_each_moment_has_at_most_one_schedule_and_intervals_never_overlap(
    db: Database, make_merchant: MakeMerchant, admin_sql: SQL, starts: list[int], moments: list[int]
) -> None:
    """Starts and moments in hours. Rows are written by hand: publishing refuses what lies in the past."""
    origin = now() - timedelta(hours=500)
    slug = f"m-{(await admin_sql('SELECT count(*) FROM merchants'))[0][0]}"
    rows = await admin_sql("INSERT INTO merchants (slug, name, currency) VALUES ($1, $1, 'PKR') RETURNING id", slug)
    merchant_id = rows[0]["id"]
    for version, start in enumerate(sorted(starts), start=1):
        await admin_sql(
            "INSERT INTO rate_schedules (merchant_id, version, valid_from, published_by) VALUES ($1, $2, $3, 'test')",
            merchant_id,
            version,
            origin + timedelta(hours=start),
        )
    async with db.read() as session:
        for moment in (origin + timedelta(hours=hours) for hours in moments):
            current, upcoming = await service.current_and_upcoming(session, merchant_id, moment)
            intervals = [schedule for schedule in (current, *upcoming) if schedule is not None]
            for before, after in itertools.pairwise(intervals):
                assert before.valid_until == after.valid_from
            assert intervals == [] or intervals[-1].valid_until is None
            covering = [
                schedule
                for schedule in intervals
                if schedule.valid_from <= moment and (schedule.valid_until is None or moment < schedule.valid_until)
            ]
            assert covering == ([] if current is None else [current])
            begun = [start for start in sorted(starts) if origin + timedelta(hours=start) <= moment]
            if begun:
                assert (await service.rates_at(session, merchant_id, moment)).version == len(begun)
            else:
                with pytest.raises(NoRates):
                    await service.rates_at(session, merchant_id, moment)


async def test_publishing_is_on_record(db: Database, make_merchant: MakeMerchant, admin_sql: SQL) -> None:
    await make_merchant("daraz")
    (entry,) = await admin_sql("SELECT * FROM audit_log WHERE action = 'rates.published'")
    assert (entry["actor"], entry["target"], entry["before"]) == ("system", "merchant:daraz", None)
    assert json.loads(entry["after"])["version"] == 1
