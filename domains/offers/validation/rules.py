"""What validation is given and what it makes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from domains.offers.validation.links import ascii_host, is_below

# Clocks of merchants' systems run ahead; more than a day is a mistake, and would shadow later statements.
FUTURE_TOLERANCE: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """`allowed_landing_hosts`: the merchant's hosts; a link may lead to one of them or to a subdomain of one. An
    empty list allows no link; None leaves the hosts unchecked (a dry run without a merchant).
    `default_currency` stands in for an empty currency in a price. `now` is aware.
    """

    default_currency: str
    allowed_landing_hosts: tuple[str, ...] | None
    now: datetime
    hosts: frozenset[str] | None = field(init=False, repr=False)
    latest_source_time_us: int = field(init=False, repr=False)
    latest_source_time_s: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.allowed_landing_hosts is None:
            hosts = None
        else:
            hosts = frozenset(host for name in self.allowed_landing_hosts if (host := ascii_host(name)) is not None)
        object.__setattr__(self, "hosts", hosts)
        latest = self.now + FUTURE_TOLERANCE - _EPOCH
        object.__setattr__(self, "latest_source_time_us", latest // timedelta(microseconds=1))
        object.__setattr__(self, "latest_source_time_s", latest // timedelta(seconds=1))

    def allows_host(self, host: str) -> bool:
        """`host` as check_link gives it."""
        return self.hosts is None or is_below(host, self.hosts)


class ValidatedOffer(NamedTuple):
    """An offer as COPY takes it: the offer_id, then the columns that a feed states, in the order in which they are
    copied. Prices are in minor units of `currency`; `custom_attributes_json` is the text of a JSON object of strings,
    '{}' without any.
    """

    offer_id: str
    kind: str
    title: str
    description: str
    link: str
    image_link: str
    additional_image_links: list[str]
    price_minor: int | None
    currency: str | None
    sale_price_minor: int | None
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    availability: str
    expires_at: datetime | None
    gtins: list[str]
    mpn: str
    brand: str
    item_group_id: str
    google_product_category: str
    product_types: list[str]
    condition: str
    color: str
    size: str
    gender: str
    age_group: str
    adult: bool
    rate_category: str
    cashback_eligible: bool
    custom_attributes_json: str
    coupon_code: str
    starts_at: datetime | None
    ends_at: datetime | None
