"""The tables of the coming months are made in time, by a role that may not make tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError


@pytest.fixture
def database_name(own_database: str) -> str:
    """These tests drop tables."""
    return own_database


async def test_application_makes_partitions_only_through_the_function(world: Any) -> None:
    await world.sql("SELECT ensure_click_partitions(3)")
    parts = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'clicks'::regclass"
    before = {row["name"] for row in await world.sql(parts)}
    assert len(before) == 5
    newest = max(before - {"click_partitions.clicks_default"})
    await world.sql(f"DROP TABLE {newest}")
    month = datetime.strptime(newest[-7:], "%Y_%m").replace(tzinfo=UTC) + timedelta(days=3)
    await world.sql(
        "INSERT INTO clicks (id, clicked_at, customer_id, merchant_id, currency, landing_url, target_url,"
        " rate_schedule_version, receipt) VALUES (uuidv7(), $1, uuidv7(), uuidv7(), 'PKR', '', '', 1, '')",
        month,
    )
    await world.run_periodic("cashback.ensure_partitions")
    assert {row["name"] for row in await world.sql(parts)} == before
    rows = await world.sql("SELECT tableoid::regclass::text AS part FROM clicks")
    assert rows[0]["part"] == newest


async def test_application_may_not_make_tables_itself(world: Any) -> None:
    for statement in ("CREATE TABLE click_partitions.mine (a int)", "CREATE TABLE public.mine (a int)"):
        async with world.db.write() as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(statement))


@pytest.mark.parametrize("months", [-1, 25])
async def test_number_of_months_is_limited(world: Any, months: int) -> None:
    async with world.db.write() as session:
        with pytest.raises(DBAPIError, match="between 0 and 24"):
            await session.execute(text("SELECT ensure_click_partitions(:months)"), {"months": months})
