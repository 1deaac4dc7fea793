"""What a sale needs to know of many merchants at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from wapsi.ids import plain_id

_SELLERS = """SELECT m.id, m.slug, n.slug AS network, m.currency FROM merchants m
    LEFT JOIN affiliate_networks n ON n.id = m.network_id WHERE m.slug = ANY($1) OR m.id = ANY($2)"""

# The same as columns of one row, for a statement that asks for more; {slugs} and {ids} say where it has them.
SELLERS = """SELECT array_agg(m.id) AS seller_ids, array_agg(m.slug) AS seller_slugs, array_agg(n.slug) AS networks,
        array_agg(m.currency::text) AS currencies
    FROM merchants m LEFT JOIN affiliate_networks n ON n.id = m.network_id
    WHERE m.slug = ANY({slugs}) OR m.id = ANY({ids})"""


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


def sellers_of(columns: Sequence[Sequence[Any] | None]) -> list[Seller]:
    """From what SELLERS has found."""
    ids, slugs, networks, currencies = columns
    if ids is None or slugs is None or networks is None or currencies is None:
        return []
    return [Seller(*values) for values in zip(map(plain_id, ids), slugs, networks, currencies, strict=True)]
