"""What waits is found without a look at all that does not, however much there is of that."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domains.cashback import service
from domains.cashback.service.waiting import FOUND
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
MANY = 20_000


@pytest.fixture
async def many(world: Any) -> None:
    new = service.NewBonusRule(
        "Many", service.BonusKind.SIGN_UP, "PKR", amount_minor=1, min_reward_minor=1, within_days=90, hold_days=30
    )
    async with world.db.write() as session:
        rule = await service.add_bonus_rule(session, OPERATOR, new)
    await world.sql(
        "INSERT INTO bonuses (rule_id, customer_id, newcomer_id, reward_id, state, amount_minor, currency, reason_code,"
        " available_at) SELECT $1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'confirmed', 1, 'PKR', '',"
        f" now() FROM generate_series(1, {MANY})",
        rule.id,
    )
    await world.sql(
        "INSERT INTO conversion_events (source, external_event_id, door, raw, fields, raw_status, outcome, error,"
        " actor) SELECT 'impact', n::text, 'file', '', '{}', '', 'refused', 'MERCHANT_UNKNOWN', 'network:impact'"
        f" FROM generate_series(1, {MANY}) AS n"
    )
    await world.sql("ANALYZE bonuses, conversion_events")


async def plan(world: Any, statement: str, *arguments: Any) -> str:
    return "\n".join(row[0] for row in await world.sql(f"EXPLAIN {statement}", *arguments))


@pytest.mark.usefixtures("many")
async def test_held_bonuses_and_changes_without_a_sale_are_found_by_an_index(world: Any) -> None:
    held = await plan(
        world,
        "SELECT * FROM bonuses b JOIN bonus_rules r ON r.id = b.rule_id WHERE b.state = 'held'"
        " ORDER BY b.id DESC LIMIT 51",
    )
    assert "ix_bonuses_state_id" in held
    waiting = await plan(world, FOUND, datetime.now(UTC) - timedelta(days=180), ":again", 100)
    assert "ix_conversion_events_waiting" in waiting
