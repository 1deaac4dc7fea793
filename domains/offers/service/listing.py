"""The statements of listings: filters and an order in, one statement with its arguments out.

The newest offers, of all or of one merchant, come from `offers` itself: what has been published is listed at once.
Everything else comes by an index of `offer_listings`, which follows each publication as search does; of merchants that
it has not caught up with, what is shown is read from `offers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from domains.offers.service.spelling import LAST_CHARACTER
from domains.offers.service.words import brand_key, category_key


class Sort(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    PRICE_ASC = "price"
    PRICE_DESC = "-price"
    # The price less what comes back of it.
    NET_PRICE = "net_price"

    @property
    def needs_currency(self) -> bool:
        return self in (Sort.PRICE_ASC, Sort.PRICE_DESC, Sort.NET_PRICE)


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


def _price_now(row: str, price: str) -> str:
    return (
        f"CASE WHEN {row}.sale_price_minor IS NOT NULL AND coalesce({row}.sale_starts_at <= now(), true)"
        f" AND coalesce(now() < {row}.sale_ends_at, true) THEN {row}.sale_price_minor ELSE {row}.{price} END"
    )


# The sale price while the sale runs, else the price.
PRICE_NOW = _price_now("o", "price_minor")
# Names are those of the answer. As text, ids need no objects.
SUMMARY_COLUMNS = (
    "o.id::text AS id, o.merchant_id, o.offer_id, o.kind, o.title, o.image_link, o.price_minor, o.sale_price_minor,"
    f" {PRICE_NOW} AS price_now_minor, o.currency, o.availability, o.brand, o.google_product_category AS category,"
    " o.rate_category, o.cashback_eligible, o.coupon_code, o.ends_at"
)
ON_OFFER = "o.status = 'active' AND (o.expires_at IS NULL OR o.expires_at > now())"
SUMMARY_OF_LISTING = (
    "l.id::text AS id, l.merchant_id, l.offer_id, l.kind, l.title, l.image_link, l.full_price_minor AS price_minor,"
    f" l.sale_price_minor, {_price_now('l', 'full_price_minor')} AS price_now_minor, l.currency, l.availability,"
    " l.shown_brand AS brand, l.shown_category AS category, l.rate_category, l.cashback_eligible, l.coupon_code,"
    " l.ends_at"
)
# Hardly ever any; found once a statement.
BEHIND = "l.merchant_id = ANY(ARRAY(SELECT merchant_id FROM catalogues WHERE listed_version < version))"
# Of a listing `l`: no row where its offer is not on offer. By OFFSET the planner leaves it as it is: `offers` is looked
# up only where a merchant is behind.
SHOWN = (
    f"(SELECT {SUMMARY_OF_LISTING} WHERE NOT {BEHIND} AND (l.expires_at IS NULL OR l.expires_at > now())"  # noqa: S608
    f" UNION ALL SELECT * FROM (SELECT {SUMMARY_COLUMNS} FROM offers o WHERE o.id = l.id AND {BEHIND} AND {ON_OFFER}"
    " OFFSET 0) current)"
)
# Rows of publications that are still being written lie at the end of the index and cannot be seen (see
# RunningPublicationRow): walking begins before them.
_RUNNING = (
    "coalesce((SELECT first_id FROM running_publications{of} ORDER BY first_id LIMIT 1),"
    " 'ffffffff-ffff-ffff-ffff-ffffffffffff')"
)
LEVELS = " > "


class Statement:
    """SQL that grows by conditions; `argument` gives the placeholder of a value."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []
        self._conditions: list[str] = []

    def argument(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def where(self, condition: str, *values: Any) -> None:
        """Each {} in the condition stands for one of the values."""
        self._conditions.append(condition.format(*map(self.argument, values)))

    @property
    def conditions(self) -> str:
        return " AND ".join(self._conditions)


@dataclass(frozen=True, slots=True)
class Sellers:
    """Whose offers are asked for: those of one merchant, or of all but these.

    `lowest_net_minor`: no offer that is asked for can cost less after what comes back.
    """

    merchant_id: UUID | None = None
    excluded_ids: Sequence[UUID] = ()
    lowest_net_minor: int = 0


def newest_statement(sellers: Sellers, *, after: UUID | None, limit: int) -> tuple[str, list[Any]]:
    """Rows of SUMMARY_COLUMNS, newest first, and of them at most `limit`."""
    statement = Statement()
    statement.where(ON_OFFER)
    order = "o.id DESC"
    if sellers.merchant_id is not None:
        merchant = statement.argument(sellers.merchant_id)
        first_unseen = _RUNNING.replace("{of}", f" WHERE merchant_id = {merchant}")
        if after is not None:
            first_unseen = f"least({statement.argument(after)}::uuid, {first_unseen})"
        # As a range, and not as equal to the one merchant: so the order is that of the merchant's index only. By the
        # order of ids the planner would walk from the newest offer of all, where it believes that most are the
        # merchant's, through those of others that are just being written.
        statement.where(f"o.merchant_id >= {merchant} AND (o.merchant_id, o.id) < ({merchant}, {first_unseen})")
        order = "o.merchant_id DESC, o.id DESC"
    else:
        statement.where(f"o.id < {_RUNNING.replace('{of}', '')}")
        if sellers.excluded_ids:
            statement.where("o.merchant_id <> ALL({}::uuid[])", list(sellers.excluded_ids))
        if after is not None:
            statement.where("o.id < {}", after)
    sql = f"SELECT {SUMMARY_COLUMNS}, o.id AS key FROM offers o WHERE {statement.conditions} ORDER BY {order} LIMIT "  # noqa: S608  # constants
    return sql + statement.argument(limit), statement.arguments


def filtered_statement(
    wanted: OfferFilter, sellers: Sellers, sort: Sort, *, after: Sequence[Any] | None, limit: int
) -> tuple[str, list[Any]]:
    """As `newest_statement`, with `key`, the value that is sorted by, as the last column.

    `after`: the key and the id of the last row that was seen (the id alone, newest first). `wanted.q` is not heeded.
    """
    statement = Statement()
    size = statement.argument(limit)
    # Two ranges of categories have no common order: each gives its own first rows.
    branches = [
        _branch(statement, wanted, sellers, sort, after, size, fixed)
        for fixed in _fixed(statement, wanted, sellers, is_newest=sort is Sort.NEWEST)
    ]
    if len(branches) == 1:
        return branches[0], statement.arguments
    together = " UNION ALL ".join(f"({branch})" for branch in branches)
    direction = " DESC" if _KEYS[sort][1] else ""
    order = f"key{direction}, id::uuid{direction}"
    return f"SELECT * FROM ({together}) found ORDER BY {order} LIMIT {size}", statement.arguments  # noqa: S608


_KEYS = {
    Sort.NEWEST: ("l.id", True),
    Sort.PRICE_ASC: ("l.price_minor", False),
    Sort.PRICE_DESC: ("l.price_minor", True),
    Sort.NET_PRICE: ("l.net_minor", False),
}


def _branch(
    statement: Statement,
    wanted: OfferFilter,
    sellers: Sellers,
    sort: Sort,
    after: Sequence[Any] | None,
    size: str,
    fixed: "Fixed",
) -> str:
    """`fixed` says what is the same in all rows, and by which columns: those lead the order, so that it is that of an
    index, and the planner is not tempted by another."""
    key, descending = _KEYS[sort]
    direction, beyond = (" DESC", "<") if descending else ("", ">")
    conditions = [*fixed.conditions, *_other_conditions(statement, wanted, sellers)]
    order = [*fixed.columns]
    if key == "l.id":
        if after is not None:
            conditions.append(f"l.id {beyond} {statement.argument(after[0])}")
    else:
        conditions.append(f"{key} IS NOT NULL")
        if sort is Sort.NET_PRICE and sellers.lowest_net_minor:
            # Follows from the lowest price, which the index of net prices does not know.
            conditions.append(f"{key} >= {statement.argument(sellers.lowest_net_minor)}")
        if after is not None:
            conditions.append(f"({key}, l.id) {beyond} ({', '.join(map(statement.argument, after))})")
        order += ["l.currency", key]
    order.append("l.id")
    where = " AND ".join(conditions) or "true"
    if fixed.is_gathered:
        return _gathered(key, where, direction, size)
    ordered = ", ".join(f"{one}{direction}" for one in order)
    has_prices = wanted.price_min_minor is not None or wanted.price_max_minor is not None
    if has_prices and sort is Sort.NEWEST and fixed.is_priced:
        return _few_or_newest(where, ordered, size)
    return (
        f"SELECT shown.*, {key} AS key FROM offer_listings l CROSS JOIN LATERAL {SHOWN} shown"  # noqa: S608
        f" WHERE {where} ORDER BY {ordered} LIMIT {size}"
    )


def _gathered(key: str, where: str, direction: str, size: str) -> str:
    """All that is asked for out of an index, without its rows, and sorted; then the rows of the first ones.

    By OFFSET the planner looks them up one by one, in that order, and no more of them than are wanted.
    """
    return (
        f"SELECT shown.*, found.key FROM (SELECT l.id, {key} AS key FROM offer_listings l WHERE {where}"  # noqa: S608
        f" ORDER BY {key}{direction}, l.id{direction}) found"
        " CROSS JOIN LATERAL (SELECT * FROM offer_listings WHERE id = found.id OFFSET 0) l"
        f" CROSS JOIN LATERAL {SHOWN} shown ORDER BY found.key{direction}, found.id{direction} LIMIT {size}"
    )


# What so few offers have is taken together and sorted; what more have is soon met among the newest.
FEW = 1000


def _few_or_newest(where: str, ordered: str, size: str) -> str:
    """The newest of a brand or category whose price is in a range, whether nearly all of its offers have such a price
    or hardly any: the planner does not know. So they are counted first, by the index of prices and up to a limit."""
    few = f"SELECT l.id AS key FROM offer_listings l WHERE {where} ORDER BY l.price_minor LIMIT {FEW + 1}"  # noqa: S608
    return (
        f"WITH few AS MATERIALIZED ({few}) SELECT * FROM (SELECT shown.*, found.key FROM (SELECT key FROM few"  # noqa: S608
        f" WHERE (SELECT count(*) FROM few) <= {FEW} ORDER BY key DESC) found"
        " CROSS JOIN LATERAL (SELECT * FROM offer_listings WHERE id = found.key OFFSET 0) l"
        f" CROSS JOIN LATERAL {SHOWN} shown ORDER BY found.key DESC LIMIT {size}) by_price"
        " UNION ALL SELECT * FROM (SELECT shown.*, l.id AS key FROM offer_listings l"
        f" CROSS JOIN LATERAL {SHOWN} shown WHERE (SELECT count(*) FROM few) > {FEW} AND {where}"
        f" ORDER BY {ordered} LIMIT {size}) by_id"
    )


@dataclass(frozen=True, slots=True)
class Fixed:
    """`columns` lead the order. `is_gathered`: no index has the rows in order, but one has all that conditions and
    order need, and what a merchant has in it is little enough to be sorted. `is_priced`: one has them by price too."""

    conditions: Sequence[str]
    columns: Sequence[str]
    is_gathered: bool
    is_priced: bool = False


# What may be fixed where an index has the rest in the order of ids, and of prices.
_Orders = set[tuple[str, ...]]
_WITH_IDS: _Orders = {("l.brand",), ("l.category",), ("l.merchant_id", "l.brand"), ("l.merchant_id", "l.category")}
_WITH_PRICES: _Orders = {("l.merchant_id",), ("l.brand",), ("l.category",)}


def _fixed(statement: Statement, wanted: OfferFilter, sellers: Sellers, *, is_newest: bool) -> Sequence[Fixed]:
    """Of merchant, brand and category what is given."""
    conditions, columns = [], []
    if sellers.merchant_id is not None:
        conditions.append(f"l.merchant_id = {statement.argument(sellers.merchant_id)}")
        columns.append("l.merchant_id")
    if wanted.brand is not None:
        # Both: the second names the partial index.
        conditions += [f"l.brand = {statement.argument(brand_key(wanted.brand))}", "l.brand <> ''"]
        columns.append("l.brand")
    # Of a merchant there is an index of either with ids and prices; of both there is none, nor of what is in stock.
    can_gather = (
        sellers.merchant_id is not None
        and wanted.availability is None
        and (wanted.brand is None or wanted.category is None)
    )
    orders = _WITH_IDS if is_newest else _WITH_PRICES
    in_stock_or_not = wanted.availability is None
    if wanted.category is None:
        is_priced = in_stock_or_not and columns == ["l.brand"]
        leading = _leading(columns, orders)
        return [Fixed(conditions, leading, can_gather and tuple(columns) not in orders, is_priced)]
    # The category itself, and what begins with it and another level, which is in no order. The column sorts by bytes.
    path = category_key(wanted.category)
    below = path + LEVELS
    itself = [f"l.category = {statement.argument(path)}", "l.category <> ''"]
    begin, end = statement.argument(below), statement.argument(below + LAST_CHARACTER)
    below_it = [f"l.category > {begin}", f"l.category < {end}", "l.category <> ''"]
    exact = [*columns, "l.category"]
    return [
        Fixed(
            [*conditions, *itself],
            _leading(exact, orders),
            can_gather and tuple(exact) not in orders,
            is_priced=in_stock_or_not and exact == ["l.category"],
        ),
        Fixed([*conditions, *below_it], _leading(columns, orders), can_gather),
    ]


def _leading(columns: Sequence[str], orders: _Orders) -> Sequence[str]:
    """As many of them as an index begins with; the others are filtered by."""
    lengths = (length for length in range(len(columns), 0, -1) if tuple(columns[:length]) in orders)
    return columns[: next(lengths, 1)]


def _other_conditions(statement: Statement, wanted: OfferFilter, sellers: Sellers) -> list[str]:
    conditions = []
    if sellers.merchant_id is None and sellers.excluded_ids:
        conditions.append(f"l.merchant_id <> ALL({statement.argument(list(sellers.excluded_ids))}::uuid[])")
    if wanted.currency is not None:
        conditions.append(f"l.currency = {statement.argument(wanted.currency)}")
    if wanted.price_min_minor is not None:
        conditions.append(f"l.price_minor >= {statement.argument(wanted.price_min_minor)}")
    if wanted.price_max_minor is not None:
        conditions.append(f"l.price_minor <= {statement.argument(wanted.price_max_minor)}")
    if wanted.availability is not None:
        if wanted.availability != "in_stock":
            conditions.append("l.availability <> 'in_stock'")  # names the partial index
        conditions.append(f"l.availability = {statement.argument(wanted.availability)}")
    return conditions
