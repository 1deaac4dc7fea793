"""Many offers at once, for what is to be bought now."""

from collections.abc import Collection
from uuid import UUID

import asyncpg

from domains.offers.errors import OfferNotFound
from domains.offers.service.views import OfferRef
from wapsi.db.arrays import array

_OFFERS = """SELECT o.id, o.merchant_id, o.offer_id, o.title, o.link, o.price_minor, o.currency, o.rate_category,
        o.cashback_eligible
    FROM offers o WHERE o.id = ANY($1::text::uuid[]) AND o.status = 'active'
        AND (o.expires_at IS NULL OR o.expires_at > now())"""


async def buyable_offers(driver: asyncpg.Connection, ids: Collection[UUID]) -> dict[UUID, OfferRef]:
    """Those neither withdrawn nor expired, in one statement. Whether the merchant is active is not looked at."""
    if not ids:
        return {}
    rows = await driver.fetch(_OFFERS, array(list(ids)))
    return {row[0]: OfferRef(*row) for row in rows}


def no_such_offer(id_: UUID) -> OfferNotFound:
    """What is said of one that cannot be bought."""
    return OfferNotFound(f"There is no offer {id_}, or it has been withdrawn.", id=str(id_))
