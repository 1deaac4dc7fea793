"""The standing of many customers at once: their status, since when, and who invited them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domains.customers.errors import CustomerNotFound
from domains.customers.models import CustomerStatus
from wapsi.db.arrays import array


async def statuses_of(driver: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[UUID, CustomerStatus]:
    """In one statement; one that does not exist is absent."""
    rows = await driver.fetch(
        "SELECT id, status FROM customers WHERE id = ANY($1::text::uuid[])", array(list(customer_ids))
    )
    return {row[0]: CustomerStatus(row[1]) for row in rows}


def no_such_customer(customer_id: UUID) -> CustomerNotFound:
    return CustomerNotFound("There is no such customer.", customer_id=str(customer_id))


@dataclass(frozen=True, slots=True)
class Standing:
    """`referred_by`: who invited this customer; None is nobody."""

    status: CustomerStatus
    joined_at: datetime
    referred_by: UUID | None


async def standing_of(driver: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[UUID, Standing]:
    """In one statement; one that does not exist is absent."""
    rows = await driver.fetch(
        "SELECT id, status, created_at, referred_by FROM customers WHERE id = ANY($1)", list(customer_ids)
    )
    return {row[0]: Standing(CustomerStatus(row[1]), row[2], row[3]) for row in rows}


async def sharing_an_account(driver: asyncpg.Connection, pairs: Iterable[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Those of the pairs of customers who have, or had, a payout method in common."""
    asked = sorted(set(pairs))
    rows = await driver.fetch(
        "SELECT DISTINCT k.one, k.other FROM unnest($1::uuid[], $2::uuid[]) AS k (one, other)"
        " JOIN payout_methods a ON a.customer_id = k.one AND a.account_fingerprint <> ''"
        " JOIN payout_methods b ON b.customer_id = k.other AND b.account_fingerprint = a.account_fingerprint",
        [one for one, _ in asked],
        [other for _, other in asked],
    )
    return {(row[0], row[1]) for row in rows}
