"""Favourites as shoppers see them: the customers domain keeps the ids, what they stand for is looked up here.

Here, because no other domain knows customers, merchants and offers alike.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domains.customers import service as customers
from domains.customers.service import FavouriteKind, FavouriteRef
from domains.merchants import service as merchants
from domains.merchants.service import PUBLIC_STATUSES, MerchantRef
from domains.offers.service import OfferRef, buyable
from wapsi.db import ReadSession, WriteSession


@dataclass(frozen=True, slots=True)
class FavouriteView:
    """`merchant` is None where it is not shown any more, `offer` where it cannot be bought, or for a merchant."""

    id: UUID
    kind: FavouriteKind
    added_at: datetime
    thing_id: UUID
    merchant: MerchantRef | None
    offer: OfferRef | None


async def keep_merchant(session: WriteSession, customer_id: UUID, slug: str) -> None:
    """Raises MerchantNotFound, CustomerNotFound and FavouriteLimit."""
    merchant = await merchants.get_merchant(session, slug, statuses=PUBLIC_STATUSES)
    await customers.add_favourite(session, customer_id, FavouriteKind.MERCHANT, merchant.id)


async def drop_merchant(session: WriteSession, customer_id: UUID, slug: str) -> None:
    """Of one that is not shown any more too. Raises MerchantNotFound."""
    merchant = await merchants.get_merchant(session, slug)
    await customers.remove_favourite(session, customer_id, FavouriteKind.MERCHANT, merchant.id)


async def keep_offer(session: WriteSession, customer_id: UUID, offer_id: UUID) -> None:
    """Raises OfferNotFound, CustomerNotFound and FavouriteLimit."""
    if not await buyable.buyable_offers(await session.driver(), [offer_id]):
        raise buyable.no_such_offer(offer_id)
    await customers.add_favourite(session, customer_id, FavouriteKind.OFFER, offer_id)


async def drop_offer(session: WriteSession, customer_id: UUID, offer_id: UUID) -> None:
    await customers.remove_favourite(session, customer_id, FavouriteKind.OFFER, offer_id)


async def list_favourites(
    session: ReadSession, customer_id: UUID, *, limit: int, kind: FavouriteKind | None, before: UUID | None
) -> list[FavouriteView]:
    """The newest first; `before` is the id of the last one seen."""
    kept = await customers.list_favourites(session, customer_id, limit=limit, kind=kind, before=before)
    offer_ids = {one.thing_id for one in kept if one.kind is FavouriteKind.OFFER}
    offers = await buyable.buyable_offers(await session.driver(), offer_ids)
    ids = {one.thing_id for one in kept if one.kind is FavouriteKind.MERCHANT}
    shops = await merchants.merchants_by_id(session, ids | {offer.merchant_id for offer in offers.values()})
    return [_view(one, offers.get(one.thing_id), shops) for one in kept]


def _view(kept: FavouriteRef, offer: OfferRef | None, shops: dict[UUID, MerchantRef]) -> FavouriteView:
    merchant = shops.get(kept.thing_id if offer is None else offer.merchant_id)
    if merchant is not None and merchant.status not in PUBLIC_STATUSES:
        merchant = offer = None
    return FavouriteView(kept.id, kept.kind, kept.created_at, kept.thing_id, merchant, offer)
