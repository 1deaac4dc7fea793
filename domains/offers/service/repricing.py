"""Listings that change without a publication: sales begin and end, rates begin, offers expire."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import text

from domains.merchants import service as merchants
from domains.offers.service.documents import LISTED, NET, PRICED, lock_prices, price_arguments, schedule_version
from domains.offers.service.publish import INDEX_DOCUMENTS, SEARCH_QUEUE
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.queue import outbox
from wapsi.queue.jobs import Job
from wapsi.queue.unfinished import unfinished

log = structlog.get_logger(__name__)

REPRICE_MERCHANT = "offers.reprice_merchant"
BATCH = 2000

# Rows are locked in the order of their ids, whoever writes them.
_WRITE = (
    f"new AS (SELECT o.id, p.price_minor, p.changes_at, {NET} AS net_minor FROM batch o{PRICED} WHERE {LISTED}),"  # noqa: S608
    " held AS MATERIALIZED (SELECT l.id FROM offer_listings l JOIN new USING (id)"
    " WHERE (l.price_minor, l.net_minor, l.changes_at)"
    " IS DISTINCT FROM (new.price_minor, new.net_minor, new.changes_at) ORDER BY l.id FOR UPDATE OF l),"
    " written AS (UPDATE offer_listings l SET price_minor = new.price_minor, net_minor = new.net_minor,"
    " changes_at = new.changes_at FROM new JOIN held USING (id) WHERE l.id = new.id RETURNING l.id),"
    f" gone AS (DELETE FROM offer_listings l USING batch o WHERE l.id = o.id AND NOT ({LISTED}) RETURNING l.id),"
    " unfound AS (DELETE FROM offer_documents WHERE id = ANY (ARRAY(SELECT id FROM gone)))"
)
DUE = (
    "SELECT merchant_id, array_agg(id) AS ids FROM (SELECT merchant_id, id FROM offer_listings"
    " WHERE changes_at <= $1 ORDER BY changes_at LIMIT $2) due GROUP BY merchant_id ORDER BY merchant_id"
)
REPRICE_DUE = (
    "WITH batch AS MATERIALIZED (SELECT o.* FROM offers o WHERE o.id = ANY($8::uuid[]) AND o.merchant_id = $1),"  # noqa: S608
    f" {_WRITE} SELECT (SELECT count(*) FROM written) + (SELECT count(*) FROM gone)"
)
REPRICE_BATCH = (
    "WITH batch AS MATERIALIZED (SELECT o.* FROM offers o WHERE o.merchant_id = $1 AND o.status = 'active'"  # noqa: S608  # constants
    f" AND o.id > $8 ORDER BY o.merchant_id, o.id LIMIT $9), {_WRITE}"
    " SELECT (SELECT count(*) FROM batch) AS taken,"
    " (SELECT count(*) FROM written) + (SELECT count(*) FROM gone) AS written,"
    " (SELECT id FROM batch ORDER BY id DESC LIMIT 1) AS id"
)
# A publication that is running holds the catalogue: then it is not noted, and all is looked through once more.
_PRICED = text(
    "UPDATE catalogues SET priced_version = :version WHERE merchant_id IN"
    " (SELECT merchant_id FROM catalogues WHERE merchant_id = :id FOR NO KEY UPDATE SKIP LOCKED)"
)
_CATALOGUES = text("SELECT merchant_id, version, listed_version, priced_version FROM catalogues WHERE version > 0")


async def reprice(job: Job) -> None:
    """Prices the listings whose moment has come, and asks for what is to follow for whole merchants."""
    repriced = 0
    while written := await _reprice_due(job):
        repriced += written
    async with job.write() as session:
        await _ask_for_more(session)
        await job.complete(session)
    if repriced:
        log.info("listings_repriced", offers=repriced)


async def _reprice_due(job: Job) -> int:
    """A batch, each merchant's part in its own transaction; returns how many rows were written."""
    async with job.runtime.db.write() as session:
        due = await (await session.driver()).fetch(DUE, now(), BATCH)
    written = 0
    for row in due:
        async with job.write() as session:
            at, schedule = await lock_prices(session, row["merchant_id"])
            arguments = price_arguments(row["merchant_id"], at, schedule)
            written += await (await session.driver()).fetchval(REPRICE_DUE, *arguments, row["ids"])
            await merchants.note_change(session, row["merchant_id"])
    return written


async def _ask_for_more(session: WriteSession) -> None:
    """Enqueues what no publication asks for: other rates than those that the listings were priced with, and search
    that has not followed though nothing is under way (after an upgrade, or when a job was given up)."""
    versions = await merchants.current_versions(session, now())
    indexing, repricing = await _under_way(session, INDEX_DOCUMENTS), await _under_way(session, REPRICE_MERCHANT)
    for row in await session.execute(_CATALOGUES):
        id_ = str(row.merchant_id)
        if row.listed_version < row.version and id_ not in indexing:
            await outbox.enqueue(session, INDEX_DOCUMENTS, {"merchant_id": id_}, queue=SEARCH_QUEUE)
        elif row.priced_version not in (None, versions.get(row.merchant_id, 0)) and id_ not in repricing:
            await outbox.enqueue(session, REPRICE_MERCHANT, {"merchant_id": id_}, queue=SEARCH_QUEUE)


async def _under_way(session: WriteSession, kind: str) -> set[str]:
    args: Sequence[Any] = await unfinished(session, kind)
    return {str(arg["merchant_id"]) for arg in args}


async def reprice_merchant(job: Job, merchant_id: UUID) -> None:
    """Prices all listings of a merchant by its present rates, a batch a transaction."""
    last = UUID(int=0)
    version = 2**31 - 1
    written = 0
    done = False
    while not done:
        async with job.write() as session:
            at, schedule = await lock_prices(session, merchant_id)
            # The oldest of the rates that were used: where others begin meanwhile, all is priced once more.
            version = min(version, schedule_version(schedule))
            driver = await session.driver()
            arguments = price_arguments(merchant_id, at, schedule)
            row = await driver.fetchrow(REPRICE_BATCH, *arguments, last, BATCH)
            done = row["taken"] < BATCH
            last = row["id"] or last
            written += row["written"]
            if done:
                if written:
                    await merchants.note_change(session, merchant_id)
                await session.execute(_PRICED, {"id": merchant_id, "version": version})
                await job.complete(session)
    log.info("merchant_repriced", merchant_id=str(merchant_id), rates_version=version, offers=written)
