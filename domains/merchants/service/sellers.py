"""What a sale needs to know of many merchants at once."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import asyncpg

_SELLERS = """SELECT m.id, m.slug, n.slug AS network, m.currency FROM merchants m
    LEFT JOIN affiliate_networks n ON n.id = m.network_id WHERE m.slug = ANY($1) OR m.id = ANY($2)"""


@dataclass(frozen=True, slots=True)
class Seller:
    """`network` is the network's slug, None where the merchant is direct."""

    id: UUID
    slug: str
    network: str | None
    currency: str


async def sellers(driver: asyncpg.Connection, slugs: Collection[str], merchant_ids: Collection[UUID]) -> list[Seller]:
    """Those that exist, whatever their status, in one statement."""
    rows = await driver.fetch(_SELLERS, list(slugs), list(merchant_ids))
    return [Seller(*row) for row in rows]
