"""The first chunks of a merchant's first feed are decoded and validated while the database compares.

Nothing is published yet that an item could be compared with, so nearly all of them are new; and who validates would
wait for the plan, a tenth of the time of a first load. What turns out otherwise is looked at again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

from domains.offers.service.chunks import pushed_bytes
from domains.offers.service.prepare import Looks, look_at
from domains.offers.validation import ValidationRules
from wapsi.db import Database

# Of items as they were pushed; what is kept of them takes some two times as much memory.
_MOST_BYTES = 8 * 1024 * 1024


@contextlib.asynccontextmanager
async def looking_ahead(db: Database, sync_id: UUID, rules: ValidationRules) -> AsyncIterator[Looks]:
    """Fills what it gives until the block ends."""
    looks: Looks = {}
    over = asyncio.Event()
    looking = asyncio.ensure_future(look_ahead(db, sync_id, rules, looks, over))
    try:
        yield looks
        over.set()
        await looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def look_ahead(db: Database, sync_id: UUID, rules: ValidationRules, looks: Looks, over: asyncio.Event) -> None:
    """Until it is over, all chunks are looked at, or enough of them."""
    after, size = -1, 0
    while size < _MOST_BYTES and not over.is_set():
        async with db.write() as session:
            driver = await session.driver()
            chunk = await driver.fetchrow(_NEXT_CHUNK, sync_id, after)
        if chunk is None:
            return
        after = chunk["first_offset"]
        look = await asyncio.to_thread(look_at, chunk["payload"], rules)
        if look is not None:
            looks[after] = replace(look, items=None)
            size += pushed_bytes(chunk["payload"])


_NEXT_CHUNK = (
    "SELECT first_offset, payload FROM sync_chunks WHERE sync_id = $1 AND first_offset > $2"
    " ORDER BY first_offset LIMIT 1"
)
