"""What shoppers read: listings, one offer, and how its price went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Row, Select, Uuid, any_, cast, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from domains.merchants import service as merchants
from domains.offers.errors import FilterInvalid, OfferNotFound
from domains.offers.models import OfferDocumentRow, OfferPriceRow, OfferRow, OfferStatus, RunningPublicationRow
from domains.offers.service.search import CONFIGURATION, to_tsquery
from domains.offers.service.views import OfferRef, OfferView, PricePoint
from wapsi.clock import now
from wapsi.db import ReadSession


class Sort(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    PRICE_ASC = "price"
    PRICE_DESC = "-price"


@dataclass(frozen=True, slots=True)
class OfferFilter:
    """Prices in minor units of `currency`, which they and sorting by price need."""

    q: str | None = None
    merchant: str | None = None
    category: str | None = None
    brand: str | None = None
    currency: str | None = None
    price_min_minor: int | None = None
    price_max_minor: int | None = None
    availability: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """`next_key` is the sort key of the last offer where more follow, else None."""

    offers: list[OfferView]
    next_key: list[Any] | None


async def list_offers(
    session: ReadSession, wanted: OfferFilter, *, sort: Sort, after: list[Any] | None, limit: int
) -> Listing:
    """Raises FilterInvalid, MerchantNotFound."""
    if sort in (Sort.PRICE_ASC, Sort.PRICE_DESC) and wanted.currency is None:
        raise FilterInvalid("Sorting by price needs a currency: amounts of two currencies do not compare.")
    if (wanted.price_min_minor, wanted.price_max_minor) != (None, None) and wanted.currency is None:
        raise FilterInvalid("A price range needs a currency.")
    query = to_tsquery(wanted.q) if wanted.q is not None else None
    sort = _effective(sort, query)
    sellers = await _sellers(session, wanted.merchant)
    # Columns, not entities: nothing of them is changed, and making entities took longer than the query.
    statement = select(*OfferRow.__table__.columns).where(*_conditions(wanted, list(sellers)))
    if sort in (Sort.PRICE_ASC, Sort.PRICE_DESC):
        statement = statement.where(OfferRow.price_minor.is_not(None))
    if sort is Sort.NEWEST:
        statement = statement.where(OfferRow.id < _first_unseen_id(wanted.merchant is not None, list(sellers)))
    keys = _sort_keys(sort, query)
    if query is not None:
        statement = statement.join(OfferDocumentRow, OfferDocumentRow.id == OfferRow.id).where(
            OfferDocumentRow.document.bool_op("@@")(func.to_tsquery(CONFIGURATION, query))
        )
    statement = statement.add_columns(*(key.label(f"key_{number}") for number, key in enumerate(keys[:-1])))
    if sort is Sort.NEWEST and wanted.merchant is not None:
        # All have the same merchant: said so that the order is that of one index, and the planner is not tempted to
        # walk from the newest offer of all through those of other merchants, whose number it may not know yet.
        statement = statement.order_by(OfferRow.merchant_id.desc())
    statement = _in_order(statement, sort, keys, after).limit(limit + 1)
    rows = (await session.execute(statement)).all()
    page = rows[:limit]
    offers = [_view(row, sellers[row.merchant_id]) for row in page]
    next_key = [*page[-1][len(OfferRow.__table__.columns) :], page[-1].id] if len(rows) > limit else None
    return Listing(offers, next_key)


async def _sellers(session: ReadSession, slug: str | None) -> Mapping[UUID, merchants.MerchantRef]:
    active = await merchants.active_merchants(session)
    if slug is None:
        return active
    merchant = await merchants.get_merchant(session, slug)
    return {merchant.id: merchant} if merchant.id in active else {}


def _first_unseen_id(of_merchants: bool, merchant_ids: list[UUID]) -> ColumnElement[UUID]:
    """Where the rows of publications begin that are still being written (see RunningPublicationRow)."""
    first = select(RunningPublicationRow.first_id).order_by(RunningPublicationRow.first_id).limit(1)
    if of_merchants:
        first = first.where(RunningPublicationRow.merchant_id.in_(merchant_ids))
    return func.coalesce(first.scalar_subquery(), _LAST_ID)


_LAST_ID = UUID(int=2**128 - 1)


def _conditions(wanted: OfferFilter, merchant_ids: list[UUID]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        OfferRow.status == OfferStatus.ACTIVE.value,
        OfferRow.merchant_id == any_(literal(merchant_ids, ARRAY(Uuid))),
        or_(OfferRow.expires_at.is_(None), OfferRow.expires_at > now()),
    ]
    if wanted.category is not None:
        conditions.append(
            or_(
                func.lower(OfferRow.google_product_category).startswith(wanted.category.lower(), autoescape=True),
                func.lower(func.array_to_string(OfferRow.product_types, "\n")).contains(
                    wanted.category.lower(), autoescape=True
                ),
            )
        )
    if wanted.brand is not None:
        conditions.append(func.lower(OfferRow.brand) == wanted.brand.lower())
    if wanted.currency is not None:
        conditions.append(OfferRow.currency == wanted.currency)
    if wanted.price_min_minor is not None:
        conditions.append(OfferRow.price_minor >= wanted.price_min_minor)
    if wanted.price_max_minor is not None:
        conditions.append(OfferRow.price_minor <= wanted.price_max_minor)
    if wanted.availability is not None:
        conditions.append(OfferRow.availability == wanted.availability)
    return conditions


def key_kinds(wanted: OfferFilter, sort: Sort) -> list[type]:
    """Of what the cursor of such a listing is made."""
    query = to_tsquery(wanted.q) if wanted.q is not None else None
    return [UUID] if _effective(sort, query) is Sort.NEWEST else [int, UUID]


def _effective(sort: Sort, query: str | None) -> Sort:
    return Sort.NEWEST if sort is Sort.RELEVANCE and query is None else sort


def _sort_keys(sort: Sort, query: str | None) -> list[ColumnElement[Any]]:
    """What the listing is ordered by; the last one, the id, makes it a total order."""
    if sort is Sort.RELEVANCE:
        rank = func.ts_rank(OfferDocumentRow.document, func.to_tsquery(CONFIGURATION, query))
        # Whole numbers: a key that goes into a cursor and back must compare equal.
        return [cast(rank * 1_000_000, Integer), OfferRow.id.expression]
    if sort is Sort.NEWEST:
        return [OfferRow.id.expression]
    return [OfferRow.price_minor.expression, OfferRow.id.expression]


def _in_order(
    statement: Select[Any], sort: Sort, keys: list[ColumnElement[Any]], after: list[Any] | None
) -> Select[Any]:
    ascending = sort is Sort.PRICE_ASC
    if after is not None:
        position = tuple(after)
        row = tuple_(*keys)
        statement = statement.where(row > position if ascending else row < position)
    return statement.order_by(*(key if ascending else key.desc() for key in keys))


async def get_offer(session: ReadSession, id_: UUID) -> OfferRef:
    """An offer that can be bought now. Raises OfferNotFound."""
    row, _merchant = await _get_active(session, id_)
    return OfferRef(
        id=row.id,
        merchant_id=row.merchant_id,
        offer_id=row.offer_id,
        title=row.title,
        link=row.link,
        price_minor=row.price_minor,
        currency=row.currency,
        rate_category=row.rate_category,
        cashback_eligible=row.cashback_eligible,
    )


async def show_offer(session: ReadSession, id_: UUID) -> OfferView:
    """Raises OfferNotFound."""
    return _view(*await _get_active(session, id_))


async def price_history(session: ReadSession, id_: UUID, *, limit: int = 200) -> list[PricePoint]:
    """Newest first, beginning with the present price. Raises OfferNotFound."""
    row, _merchant = await _get_active(session, id_)
    present = PricePoint(row.price_since, None, row.price_minor, row.sale_price_minor, row.currency)
    past = await session.scalars(
        select(OfferPriceRow).where(OfferPriceRow.id == id_).order_by(OfferPriceRow.valid_from.desc()).limit(limit)
    )
    return [
        present,
        *(PricePoint(p.valid_from, p.valid_until, p.price_minor, p.sale_price_minor, p.currency) for p in past),
    ]


async def _get_active(session: ReadSession, id_: UUID) -> tuple[OfferRow, merchants.MerchantRef]:
    """An offer that can be bought now, and who sells it."""
    row = await session.get(OfferRow, id_)
    if row is not None and row.status == OfferStatus.ACTIVE and (row.expires_at is None or row.expires_at > now()):
        merchant = await merchants.get_merchant_by_id(session, row.merchant_id)
        if merchant.status == merchants.MerchantStatus.ACTIVE:
            return row, merchant
    raise OfferNotFound(f"There is no offer {id_}, or it has been withdrawn.", id=str(id_))


def price_now_minor(row: OfferRow | Row[Any], at: datetime) -> int | None:
    """The sale price while the sale runs, else the price."""
    on_sale = (
        row.sale_price_minor is not None
        and (row.sale_starts_at is None or row.sale_starts_at <= at)
        and (row.sale_ends_at is None or at < row.sale_ends_at)
    )
    return row.sale_price_minor if on_sale else row.price_minor


def _view(row: OfferRow | Row[Any], merchant: merchants.MerchantRef) -> OfferView:
    return OfferView(
        id=row.id,
        offer_id=row.offer_id,
        merchant=merchant.slug,
        merchant_name=merchant.name,
        kind=row.kind,
        title=row.title,
        description=row.description,
        link=row.link,
        image_link=row.image_link,
        additional_image_links=tuple(row.additional_image_links),
        price_minor=row.price_minor,
        sale_price_minor=row.sale_price_minor,
        price_now_minor=price_now_minor(row, now()),
        currency=row.currency,
        availability=row.availability,
        brand=row.brand,
        category=row.google_product_category,
        product_types=tuple(row.product_types),
        gtins=tuple(row.gtins),
        mpn=row.mpn,
        item_group_id=row.item_group_id,
        condition=row.condition,
        color=row.color,
        size=row.size,
        gender=row.gender,
        age_group=row.age_group,
        adult=row.adult,
        rate_category=row.rate_category,
        cashback_eligible=row.cashback_eligible,
        custom_attributes=row.custom_attributes,
        coupon_code=row.coupon_code,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        expires_at=row.expires_at,
        last_seen_at=row.last_seen_at,
    )
