"""Merchants and offers that a customer keeps an eye on."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel

from domains.cashback.router.routers import Customer, router
from domains.cashback.service import favourites
from domains.cashback.service.favourites import FavouriteView
from domains.customers.service import FavouriteKind
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, WriteDep
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses

Slug = Annotated[str, Path(max_length=63, pattern=r"^[^\x00]*$", description="The merchant's slug.")]

_CHANGED = problem_responses(401, 403, 404, 409, 422)


class FavouriteOut(BaseModel):
    """`id` is the merchant's or the offer's. `available`: it is still there; the other fields are null where not."""

    kind: FavouriteKind
    id: UUID
    added_at: datetime
    available: bool
    merchant: str | None
    merchant_name: str | None
    title: str | None
    price_minor: int | None
    currency: str | None

    @classmethod
    def of(cls, kept: FavouriteView) -> Self:
        offer, merchant = kept.offer, kept.merchant
        return cls(
            kind=kept.kind,
            id=kept.thing_id,
            added_at=kept.added_at,
            available=(offer if kept.kind is FavouriteKind.OFFER else merchant) is not None,
            merchant=None if merchant is None else merchant.slug,
            merchant_name=None if merchant is None else merchant.name,
            title=None if offer is None else offer.title,
            price_minor=None if offer is None else offer.price_minor,
            currency=None if offer is None else offer.currency,
        )


@router.get("/v1/me/favourites", tags=["me"], responses=problem_responses(401, 403, 422))
async def list_favourites(
    session: ReadDep,
    principal: Customer,
    kind: Annotated[FavouriteKind | None, Query()] = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[FavouriteOut]:
    """The newest first. One that is gone is still listed, by its id, until it is removed."""
    listing = f"favourites {kind}"
    kept = await favourites.list_favourites(
        session, principal.id, limit=limit + 1, kind=kind, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(kept, limit)
    return Page(
        items=[FavouriteOut.of(one) for one in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@router.put("/v1/me/favourites/merchants/{slug}", status_code=204, tags=["me"], responses=_CHANGED)
async def keep_merchant(session: WriteDep, principal: Customer, slug: Slug) -> None:
    """One that is kept already stays so."""
    await favourites.keep_merchant(session, principal.id, slug)


@router.delete(
    "/v1/me/favourites/merchants/{slug}", status_code=204, tags=["me"], responses=problem_responses(401, 403, 404, 422)
)
async def drop_merchant(session: WriteDep, principal: Customer, slug: Slug) -> None:
    """Nothing happens where it is none."""
    await favourites.drop_merchant(session, principal.id, slug)


@router.put("/v1/me/favourites/offers/{offer_id}", status_code=204, tags=["me"], responses=_CHANGED)
async def keep_offer(session: WriteDep, principal: Customer, offer_id: UUID) -> None:
    """One that is kept already stays so."""
    await favourites.keep_offer(session, principal.id, offer_id)


@router.delete(
    "/v1/me/favourites/offers/{offer_id}", status_code=204, tags=["me"], responses=problem_responses(401, 403, 422)
)
async def drop_offer(session: WriteDep, principal: Customer, offer_id: UUID) -> None:
    """Nothing happens where it is none."""
    await favourites.drop_offer(session, principal.id, offer_id)
