"""What shoppers read: listings, one offer, and how its price went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domains.merchants import service as merchants
from domains.offers.errors import FilterInvalid, OfferNotFound
from domains.offers.models import OfferRow, OfferStatus
from domains.offers.service.facets import Facets, facets
from domains.offers.service.listing import (
    BEHIND,
    ON_OFFER,
    PRICE_NOW,
    SUMMARY_COLUMNS,
    SUMMARY_OF_LISTING,
    OfferFilter,
    Sellers,
    Sort,
    filtered_statement,
    newest_statement,
)
from domains.offers.service.queries import SearchQuery
from domains.offers.service.search import SearchOrder, search
from domains.offers.service.views import OfferRef, PricePoint
from wapsi.clock import now
from wapsi.db import Plans, Reads, ReadSession
from wapsi.db.versions import Versions


@dataclass(frozen=True, slots=True)
class Listing:
    """`offers` have the fields of schemas.OfferSummary. `next_key` is the sort key of the last one where more follow.

    `relaxed`: no offer has all the words that were searched for; these have words that begin like them.
    """

    offers: list[dict[str, Any]]
    next_key: list[Any] | None
    relaxed: bool = False


async def list_offers(
    reads: Reads, versions: Versions, wanted: OfferFilter, *, sort: Sort, after: list[Any] | None, limit: int
) -> Listing:
    """Raises FilterInvalid, MerchantNotFound."""
    if sort.needs_currency and wanted.currency is None:
        raise FilterInvalid("Sorting by price needs a currency: amounts of two currencies do not compare.")
    _check_prices(wanted)
    directory = await merchants.directory(versions)
    sellers = _sellers(directory, wanted.merchant)
    if sellers is None:
        return Listing([], None)
    if wanted.q is not None:
        return await _search(reads, directory, wanted, sellers, sort, after, limit)
    sort = _effective(sort, wanted)
    if _is_plain(wanted, sort):
        last = None if after is None else after[0]
        sql, arguments = newest_statement(sellers, after=last, limit=limit + 1)
    else:
        if sort is Sort.NET_PRICE and wanted.price_min_minor:
            sellers = replace(sellers, lowest_net_minor=_lowest_net_minor(directory, sellers, wanted.price_min_minor))
        sql, arguments = filtered_statement(wanted, sellers, sort, after=after, limit=limit + 1)
    rows = await reads.fetch(sql, *arguments)
    page = rows[:limit]
    next_key = None
    if len(rows) > limit:
        last_row = page[-1]
        id_ = UUID(last_row["id"])
        next_key = [id_] if sort is Sort.NEWEST else [last_row["key"], id_]
    return Listing(_summaries(page, directory), next_key)


async def _search(
    reads: Reads,
    directory: merchants.Directory,
    wanted: OfferFilter,
    sellers: Sellers,
    sort: Sort,
    after: list[Any] | None,
    limit: int,
) -> Listing:
    position = None if after is None else (after[0], after[1], after[2])
    result = await search(reads, _query(wanted, sellers), order=SearchOrder(sort), after=position, limit=limit)
    rows = await _shown(reads, [hit.id for hit in result.hits])
    last = result.hits[-1] if result.hits and result.more else None
    next_key = None if last is None else [last.tier, last.key, last.id]
    return Listing(_summaries(rows, directory), next_key, result.relaxed)


async def count_facets(reads: Reads, versions: Versions, wanted: OfferFilter) -> dict[str, Any]:
    """The fields of schemas.Facets. Raises FilterInvalid, MerchantNotFound."""
    _check_prices(wanted)
    directory = await merchants.directory(versions)
    sellers = _sellers(directory, wanted.merchant)
    counts = Facets() if sellers is None else await facets(reads, _query(wanted, sellers))
    sold_by = [(directory.by_id[id_].slug, offers) for id_, offers in counts.merchants if id_ in directory.by_id]
    named = {
        "merchants": sold_by,
        "brands": counts.brands,
        "categories": counts.categories,
        "availability": counts.availability,
    }
    return {
        "counted": counts.counted,
        "complete": counts.complete,
        **{name: [{"value": value, "offers": offers} for value, offers in values] for name, values in named.items()},
        "prices": counts.prices,
    }


def _check_prices(wanted: OfferFilter) -> None:
    if (wanted.price_min_minor, wanted.price_max_minor) != (None, None) and wanted.currency is None:
        raise FilterInvalid("A price range needs a currency.")


def _query(wanted: OfferFilter, sellers: Sellers) -> SearchQuery:
    return SearchQuery(
        words=wanted.q or "",
        merchant_id=sellers.merchant_id,
        brand=wanted.brand,
        category=wanted.category,
        availability=wanted.availability,
        currency=wanted.currency,
        price_min_minor=wanted.price_min_minor,
        price_max_minor=wanted.price_max_minor,
        excluded_merchant_ids=tuple(sellers.excluded_ids),
    )


# As SHOWN shows them, in two statements: the second is hardly ever needed, and was planned for each search.
_LISTED_BY_ID = (
    f"SELECT {SUMMARY_OF_LISTING}, CASE WHEN {BEHIND} THEN 'behind'"  # noqa: S608
    " WHEN l.expires_at <= now() THEN 'expired' ELSE '' END AS key FROM offer_listings l WHERE l.id = ANY($1::uuid[])"
)
_PUBLISHED_BY_ID = f"SELECT {SUMMARY_COLUMNS}, '' AS key FROM offers o WHERE o.id = ANY($1::uuid[]) AND {ON_OFFER}"  # noqa: S608


async def _shown(reads: Reads, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """What is on offer of them, in their order."""
    listed = await reads.fetch(_LISTED_BY_ID, ids, plans=Plans.BY_KEYS)
    by_id = {row["id"]: row for row in listed if not row["key"]}
    if behind := [row["id"] for row in listed if row["key"] == "behind"]:
        by_id |= {row["id"]: row for row in await reads.fetch(_PUBLISHED_BY_ID, behind, plans=Plans.BY_KEYS)}
    return [by_id[text] for id_ in ids if (text := str(id_)) in by_id]


def key_kinds(wanted: OfferFilter, sort: Sort) -> list[type]:
    """Of what the cursor of such a listing is made."""
    if wanted.q is not None:
        return [int, int, UUID]
    return [UUID] if _effective(sort, wanted) is Sort.NEWEST else [int, UUID]


def _effective(sort: Sort, wanted: OfferFilter) -> Sort:
    return Sort.NEWEST if sort is Sort.RELEVANCE and wanted.q is None else sort


def _is_plain(wanted: OfferFilter, sort: Sort) -> bool:
    """Newest first, of all merchants or of one."""
    filters = (wanted.category, wanted.brand, wanted.currency, wanted.availability)
    return sort is Sort.NEWEST and all(value is None for value in filters)


def _lowest_net_minor(directory: merchants.Directory, sellers: Sellers, price_min_minor: int) -> int:
    merchant = directory.by_id.get(sellers.merchant_id) if sellers.merchant_id is not None else None
    asked = directory.by_id.values() if merchant is None else [merchant]
    return min((one.lowest_net_minor(price_min_minor) for one in asked), default=0)


def _sellers(directory: merchants.Directory, slug: str | None) -> Sellers | None:
    """None where nothing is sold: the merchant is not active. Raises MerchantNotFound."""
    if slug is None:
        return Sellers(excluded_ids=directory.not_active_ids)
    merchant = directory.by_slug.get(slug)
    if merchant is None:
        raise merchants.MerchantNotFound(f"There is no merchant {slug}.", merchant=slug)
    return Sellers(merchant_id=merchant.id) if merchant.status == merchants.MerchantStatus.ACTIVE else None


def _summaries(rows: Iterable[asyncpg.Record], directory: merchants.Directory) -> list[dict[str, Any]]:
    at = now()
    offers = []
    for row in rows:
        # Made a moment ago, a merchant may be missing; its offers come with the next generation.
        merchant = directory.by_id.get(row["merchant_id"])
        if merchant is not None:
            offer = dict(row)
            del offer["key"]
            offers.append(_with_merchant(offer, merchant, at))
    return offers


def _with_merchant(offer: dict[str, Any], merchant: merchants.ListedMerchant, at: datetime) -> dict[str, Any]:
    del offer["merchant_id"]
    offer["merchant"] = merchant.slug
    offer["merchant_name"] = merchant.name
    price_minor = offer["price_now_minor"]
    if price_minor is None:
        offer["net_price_minor"] = None
    elif offer["cashback_eligible"]:
        returned_minor = merchant.returned_minor(price_minor, offer["currency"], offer["rate_category"], at)
        offer["net_price_minor"] = max(price_minor - returned_minor, 0)
    else:
        offer["net_price_minor"] = price_minor
    return offer


async def get_offer(session: ReadSession, id_: UUID) -> OfferRef:
    """An offer that can be bought now. Raises OfferNotFound."""
    row = await session.get(OfferRow, id_)
    if row is None or row.status != OfferStatus.ACTIVE or (row.expires_at is not None and row.expires_at <= now()):
        raise _not_found(id_)
    merchant = await merchants.get_merchant_by_id(session, row.merchant_id)
    if merchant.status != merchants.MerchantStatus.ACTIVE:
        raise _not_found(id_)
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


async def show_offer(reads: Reads, versions: Versions, id_: UUID) -> dict[str, Any]:
    """The fields of schemas.Offer. Raises OfferNotFound."""
    row, merchant = await _get_active(reads, versions, id_, _ALL_COLUMNS)
    return _with_merchant(dict(row), merchant, now())


async def price_history(reads: Reads, versions: Versions, id_: UUID, *, limit: int = 200) -> list[PricePoint]:
    """Newest first, beginning with the present price. Raises OfferNotFound."""
    columns = "o.merchant_id, o.price_since AS valid_from, o.price_minor, o.sale_price_minor, o.currency"
    present, _merchant = await _get_active(reads, versions, id_, columns)
    past = await reads.fetch(_PAST_PRICES, id_, limit, plans=Plans.BY_KEYS)
    return [
        _price_point(present, None),
        *(_price_point(row, row["valid_until"]) for row in past),
    ]


_PAST_PRICES = (
    "SELECT valid_from, valid_until, price_minor, sale_price_minor, currency FROM offer_prices"
    " WHERE id = $1 ORDER BY valid_from DESC LIMIT $2"
)


def _price_point(row: asyncpg.Record, valid_until: datetime | None) -> PricePoint:
    return PricePoint(row["valid_from"], valid_until, row["price_minor"], row["sale_price_minor"], row["currency"])


_SHOWN: Sequence[str] = (
    "offer_id", "merchant_id", "kind", "title", "description", "image_link", "additional_image_links", "price_minor",
    "sale_price_minor", "currency", "availability", "brand", "product_types", "gtins", "mpn", "item_group_id",
    "condition", "color", "size", "gender", "age_group", "adult", "rate_category", "cashback_eligible",
    "custom_attributes", "coupon_code", "starts_at", "ends_at", "expires_at", "last_seen_at",
)  # fmt: skip
_ALL_COLUMNS = (
    f"o.id::text AS id, {', '.join(f'o.{name}' for name in _SHOWN)},"
    f" o.google_product_category AS category, {PRICE_NOW} AS price_now_minor"
)


async def _get_active(
    reads: Reads, versions: Versions, id_: UUID, columns: str
) -> tuple[asyncpg.Record, merchants.ListedMerchant]:
    """An offer that can be bought now, and who sells it."""
    sql = f"SELECT {columns} FROM offers o WHERE o.id = $1 AND {ON_OFFER}"  # noqa: S608
    row = await reads.fetchrow(sql, id_, plans=Plans.BY_KEYS)
    if row is not None:
        directory = await merchants.directory(versions)
        merchant = directory.by_id.get(row["merchant_id"])
        if merchant is not None and merchant.status == merchants.MerchantStatus.ACTIVE:
            return row, merchant
    raise _not_found(id_)


def _not_found(id_: UUID) -> OfferNotFound:
    return OfferNotFound(f"There is no offer {id_}, or it has been withdrawn.", id=str(id_))
