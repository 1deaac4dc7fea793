"""Full-text search: the documents that follow each publication, and the query words of shoppers."""

import asyncio
import re
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from domains.offers.service.plan import from_microseconds
from domains.offers.service.syncs import PROCESS_SYNC
from wapsi.clock import now
from wapsi.db import ReadSession
from wapsi.queue.jobs import Job
from wapsi.queue.unfinished import unfinished

log = structlog.get_logger(__name__)
_lag = metrics.get_meter(__name__).create_histogram(
    "wapsi.search.lag", unit="s", description="From a publication to the moment that search finds it."
)
_freshness = metrics.get_meter(__name__).create_histogram(
    "wapsi.offers.freshness",
    unit="s",
    description="From the moment a merchant stated an offer to that search finds it.",
)

# 'simple': titles are English, Urdu and Roman Urdu in one field, and no stemmer fits all three.
CONFIGURATION = "simple"
BATCH = 2000
# Counted from the publication, so that jobs that had to wait for their turn do not wait again.
GIVE_WAY = timedelta(seconds=10)
GIVE_WAY_PAUSE_S = 0.2
MAX_QUERY_WORDS = 8
_WORD = re.compile(r"\w+")

_INDEX_BATCH = text(
    "WITH batch AS (SELECT * FROM offers WHERE merchant_id = :merchant_id AND catalogue_version <= :target"
    " AND (catalogue_version, id) > (:version, :id) ORDER BY catalogue_version, id LIMIT :limit),"
    " gone AS (DELETE FROM offer_documents USING batch"
    " WHERE offer_documents.id = batch.id AND batch.status <> 'active'),"
    " written AS (INSERT INTO offer_documents (id, document) SELECT id,"
    " setweight(to_tsvector('simple', title), 'A') ||"
    " setweight(to_tsvector('simple', brand || ' ' || mpn || ' ' || offer_id), 'B') ||"
    " setweight(to_tsvector('simple', array_to_string(product_types, ' ') || ' ' || google_product_category"
    " || ' ' || color || ' ' || size), 'C') ||"
    " setweight(to_tsvector('simple', left(description, 1000)), 'D')"
    " FROM batch WHERE status = 'active' ON CONFLICT (id) DO UPDATE SET document = excluded.document) "
    "SELECT count(*) AS taken, (array_agg(catalogue_version ORDER BY catalogue_version DESC, id DESC))[1] AS version,"
    " (array_agg(id ORDER BY catalogue_version DESC, id DESC))[1] AS id FROM batch"
)


async def index_documents(job: Job, merchant_id: UUID, *, stated_us: int | None) -> None:
    """Brings search up to the merchant's published version, a batch a transaction.

    `stated_us`: when the newest of what was published was stated, microseconds since 1970.
    """
    async with job.write() as session:
        catalogue = (await session.execute(_CATALOGUE, {"id": merchant_id})).one()
    # Where the last batch ended. No id is above the largest: begin behind the version that is indexed.
    position = (catalogue.indexed_version, UUID(int=2**128 - 1))
    done = False
    while not done:
        await _give_way(job, until=catalogue.published_at + GIVE_WAY)
        async with job.write() as session:
            parameters = {"merchant_id": merchant_id, "target": catalogue.version, "limit": BATCH}
            row = (await session.execute(_INDEX_BATCH, {**parameters, "version": position[0], "id": position[1]})).one()
            done = row.taken < BATCH
            if row.taken:
                position = (row.version, row.id)
            if done:
                lag_s = await session.scalar(
                    text(
                        "UPDATE catalogues SET indexed_at = now(),"
                        " indexed_version = greatest(indexed_version, :version) WHERE merchant_id = :id"
                        " RETURNING extract(epoch FROM now() - published_at)::float8"
                    ),
                    {"version": catalogue.version, "id": merchant_id},
                )
                _lag.record(lag_s)
                if stated_us is not None:
                    _freshness.record((now() - from_microseconds(stated_us)).total_seconds())
                await job.complete(session)
    log.info("search_indexed", merchant_id=str(merchant_id), version=catalogue.version)


_CATALOGUE = text("SELECT version, indexed_version, published_at FROM catalogues WHERE merchant_id = :id")


async def _give_way(job: Job, *, until: datetime) -> None:
    """Merges go first: what is merged is listed at once, and search may be a moment late."""
    while now() < until:
        async with job.runtime.db.read() as session:
            if not await unfinished(session, PROCESS_SYNC):
                return
        await asyncio.sleep(GIVE_WAY_PAUSE_S)


def to_tsquery(words: str) -> str | None:
    """A tsquery in which every word must occur, the last one perhaps only begun; None where there is no word."""
    found = _WORD.findall(words.lower())[:MAX_QUERY_WORDS]
    if not found:
        return None
    *whole, last = found
    return " & ".join([*(f"'{word}'" for word in whole), f"'{last}':*"])


async def search_is_current(session: ReadSession) -> bool:
    """Whether search has followed every publication."""
    behind = await session.scalar(text("SELECT count(*) FROM catalogues WHERE indexed_version < version"))
    return bool(behind == 0)
