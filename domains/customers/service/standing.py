"""The status of many customers at once."""

from collections.abc import Collection
from uuid import UUID

import asyncpg

from domains.customers.errors import CustomerNotFound
from domains.customers.models import CustomerStatus


async def statuses_of(driver: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[UUID, CustomerStatus]:
    """In one statement; one that does not exist is absent."""
    rows = await driver.fetch("SELECT id, status FROM customers WHERE id = ANY($1)", list(customer_ids))
    return {row[0]: CustomerStatus(row[1]) for row in rows}


def no_such_customer(customer_id: UUID) -> CustomerNotFound:
    return CustomerNotFound("There is no such customer.", customer_id=str(customer_id))
