"""Finds what bonuses, and goodwill, depend on: the changes of cashback since the last time.

No sale waits for it. A change that is looked at again does nothing, so that none is missed and none counts twice.
"""

from datetime import timedelta

from sqlalchemy import text

from domains.cashback.models import BonusSearchRow
from domains.cashback.service.bonus_causes import in_place_of
from domains.cashback.service.bonuses import AT_ONCE, award, mature, take_back, take_back_shrunken
from domains.cashback.service.goodwill_returns import return_goodwill
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.queue.jobs import Job

# Those who get something for the changes of a window are locked in one transaction, each with a lock of the database's
# shared table.
WINDOW = 500
# No transaction is open for longer: what is older cannot have another before it that is not seen yet.
SETTLED_AFTER = timedelta(minutes=5)
_SEARCH = "rewards"
_CHANGES = text(
    "SELECT max(id) AS last, min(id) FILTER (WHERE at > :settled) AS first_recent, array_agg(DISTINCT entity_id)"
    " FILTER (WHERE entity = 'reward' AND to_state IN ('confirmed', 'declined', 'reversed')) AS rewards"
    " FROM (SELECT id, at, entity, entity_id, to_state FROM state_changes WHERE id > :after AND id <= :upto"
    " ORDER BY id LIMIT :limit) AS w"
)


async def follow_rewards(job: Job) -> None:
    """Gives and takes back what the changes since the last time bring about, and makes available what has waited."""
    async with job.write() as session:
        upto = await session.scalar(text("SELECT coalesce(max(id), 0) FROM state_changes"))
        search = await session.get(BonusSearchRow, _SEARCH)
        after = 0 if search is None else search.state_change_id
    settled = True
    while after < upto:
        async with job.write() as session:
            found = (
                await session.execute(
                    _CHANGES,
                    {"after": after, "upto": upto, "limit": WINDOW, "settled": now() - SETTLED_AFTER},
                )
            ).one()
            reward_ids = found.rewards or []
            await take_back(session, reward_ids)
        # Each in a transaction of its own: customers are locked in one order, all at once.
        async with job.write() as session:
            await return_goodwill(session, reward_ids)
        async with job.write() as session:
            # Where the first cashback is gone, another that came before now is the first one.
            await award(session, [*reward_ids, *await in_place_of(session, reward_ids)])
            if settled:
                settled = found.first_recent is None
                await _remember(session, found.last if settled else max(after, found.first_recent - 1))
            after = found.last
    full = True
    while full:
        async with job.write() as session:
            gone = await take_back_shrunken(session)
        async with job.write() as session:
            await award(session, await in_place_of(session, gone))
        full = len(gone) >= AT_ONCE
    while True:
        async with job.write() as session:
            if await mature(session) < AT_ONCE:
                await job.complete(session)
                return


async def _remember(session: WriteSession, state_change_id: int) -> None:
    await session.execute(
        text(
            "INSERT INTO bonus_search (name, state_change_id) VALUES (:name, :id)"
            " ON CONFLICT (name) DO UPDATE SET state_change_id = excluded.state_change_id"
        ),
        {"name": _SEARCH, "id": state_change_id},
    )
