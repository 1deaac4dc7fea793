"""REST shapes of the offers domain. Amounts are in minor units of `currency`."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domains.offers import service
from wapsi.http.paging import Page


class _FromView(BaseModel):
    model_config = ConfigDict(from_attributes=True)


# No text of the database has a NUL.
Text = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")]
Price = Annotated[int | None, Field(ge=0, le=10**15, description="Minor units of `currency`.")]


class OfferQuery(BaseModel):
    """Which offers. One model and not many parameters: those would be validated one by one, for longer than a query."""

    q: Annotated[Text, Field(description="Words; the last one may be only begun.")] = None
    merchant: Text = None
    category: Annotated[Text, Field(description="A path of categories, or how it begins: `Home > Kitchen`.")] = None
    brand: Text = None
    currency: Annotated[str | None, Field(pattern="^[A-Z]{3}$")] = None
    price_min: Price = None
    price_max: Price = None
    availability: Literal["in_stock", "out_of_stock", "preorder", "backorder", "limited"] | None = None

    def wanted(self) -> service.OfferFilter:
        return service.OfferFilter(
            q=self.q,
            merchant=self.merchant,
            category=self.category,
            brand=self.brand,
            currency=self.currency,
            price_min_minor=self.price_min,
            price_max_minor=self.price_max,
            availability=self.availability,
        )


class ListingQuery(OfferQuery):
    """Which offers, in which order, and which page of them."""

    sort: service.Sort = service.Sort.RELEVANCE
    limit: Annotated[int, Field(ge=1, le=200, description="Items a page.")] = 20
    cursor: Annotated[str | None, Field(max_length=500, description="next_cursor of the page before.")] = None


class SuggestionsQuery(BaseModel):
    q: Annotated[
        str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="What has been typed so far.")
    ]
    limit: Annotated[int, Field(ge=1, le=20)] = 10


class OfferSummary(BaseModel):
    """An offer in a list. `id` is ours, `offer_id` the merchant's.

    `price_now_minor` is the sale price while the sale runs, and `net_price_minor` that less what comes back of it, at
    least, by the rates of this moment.
    """

    id: UUID
    offer_id: str
    merchant: str
    merchant_name: str
    kind: str
    title: str
    image_link: str
    price_minor: int | None
    sale_price_minor: int | None
    price_now_minor: int | None
    net_price_minor: int | None
    currency: str | None
    availability: str
    brand: str
    category: str
    rate_category: str
    cashback_eligible: bool
    coupon_code: str
    ends_at: datetime | None


class OfferPage(Page[OfferSummary]):
    """`relaxed`: no offer has all the words of `q`; these have words that begin alike."""

    relaxed: bool = False


class Offer(OfferSummary):
    """All that is known of an offer."""

    description: str
    additional_image_links: list[str]
    product_types: list[str]
    gtins: list[str]
    mpn: str
    item_group_id: str
    condition: str
    color: str
    size: str
    gender: str
    age_group: str
    adult: bool
    custom_attributes: dict[str, str]
    starts_at: datetime | None
    expires_at: datetime | None
    last_seen_at: datetime


class PricePoint(_FromView):
    valid_from: datetime
    valid_until: datetime | None
    price_minor: int | None
    sale_price_minor: int | None
    currency: str | None


class PriceHistory(BaseModel):
    """Newest first; the first one is the present price."""

    prices: list[PricePoint]


class FacetValue(BaseModel):
    """`offers` of those counted have the value. Of merchants it is the slug."""

    value: str
    offers: int


class PriceBand(BaseModel):
    """Offers of at least `from_minor` and less than `below_minor` (null: any more), minor units of `currency`."""

    currency: str
    from_minor: int
    below_minor: int | None
    offers: int


class Facets(BaseModel):
    """Values with how many of the `counted` offers have them, most first. `complete`: no other offers match."""

    counted: int
    complete: bool
    merchants: list[FacetValue]
    brands: list[FacetValue]
    categories: list[FacetValue]
    availability: list[FacetValue]
    prices: list[PriceBand]


class Suggestion(BaseModel):
    """`text` is what to search for; of a merchant its name, with its `slug`. `offers` have it, about."""

    kind: Literal["merchant", "brand", "category", "word"]
    text: str
    offers: int | None
    slug: str


class Suggestions(BaseModel):
    suggestions: list[Suggestion]


class SyncCounters(_FromView):
    """received = created + updated + unchanged + withdrawn_by_item + stale + duplicates + rejected."""

    received: int
    created: int
    updated: int
    unchanged: int
    withdrawn_by_item: int
    stale: int
    duplicates: int
    rejected: int
    withdrawn_unseen: int
    warnings: int


class Sync(_FromView):
    """`state`: open, queued, processing, succeeded, partial, failed, quarantined or cancelled."""

    id: UUID
    merchant: str
    mode: str
    state: str
    settled: bool
    source: str
    committed_offset: int
    processed: int
    counters: SyncCounters
    reason: str
    message: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trace_id: str | None


class SyncIssue(_FromView):
    offset: int
    line: int
    offer_id: str
    severity: str
    code: str
    field: str
    message: str
    value: str
