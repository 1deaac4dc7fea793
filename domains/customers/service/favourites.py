"""Favourites: merchants and offers that a customer keeps, known here by their ids alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import CustomerNotFound, FavouriteLimit
from domains.customers.models import CustomerRow, CustomerStatus, FavouriteKind, FavouriteRow
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id

MAX_FAVOURITES = 1000


@dataclass(frozen=True, slots=True)
class FavouriteRef:
    """`thing_id` is a merchant's or an offer's."""

    id: UUID
    kind: FavouriteKind
    thing_id: UUID
    created_at: datetime


async def add_favourite(session: WriteSession, customer_id: UUID, kind: FavouriteKind, thing_id: UUID) -> None:
    """Does nothing where it is one already. Raises CustomerNotFound and FavouriteLimit."""
    # The lock keeps requests at once from passing the limit together, and out of an account that is being deleted.
    customer = await session.get_locked(CustomerRow, customer_id)
    if customer is None or customer.status == CustomerStatus.DELETED:
        raise CustomerNotFound("There is no such customer.", customer_id=str(customer_id))
    await session.execute(
        insert(FavouriteRow)
        .values(id=new_id(), customer_id=customer_id, kind=kind, thing_id=thing_id)
        .on_conflict_do_nothing()
    )
    count = await session.scalar(
        select(func.count()).select_from(FavouriteRow).where(FavouriteRow.customer_id == customer_id)
    )
    if (count or 0) > MAX_FAVOURITES:
        raise FavouriteLimit(f"There are at most {MAX_FAVOURITES} favourites. Remove one first.")


async def remove_favourite(session: WriteSession, customer_id: UUID, kind: FavouriteKind, thing_id: UUID) -> None:
    """Does nothing where it is none."""
    await session.execute(
        delete(FavouriteRow).where(
            FavouriteRow.customer_id == customer_id, FavouriteRow.kind == kind, FavouriteRow.thing_id == thing_id
        )
    )


async def list_favourites(
    session: ReadSession,
    customer_id: UUID,
    *,
    limit: int,
    kind: FavouriteKind | None = None,
    before: UUID | None = None,
) -> Sequence[FavouriteRef]:
    """The newest first; `before` is the id of the last one seen."""
    statement = select(FavouriteRow).where(FavouriteRow.customer_id == customer_id)
    if kind is not None:
        statement = statement.where(FavouriteRow.kind == kind)
    if before is not None:
        statement = statement.where(FavouriteRow.id < before)
    rows = await session.scalars(statement.order_by(FavouriteRow.id.desc()).limit(limit))
    return [FavouriteRef(row.id, FavouriteKind(row.kind), row.thing_id, row.created_at) for row in rows]
