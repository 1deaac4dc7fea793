"""What this domain hands to others: frozen values, never rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domains.merchants.models import (
    ClawbackTerms,
    ConfirmationTerms,
    CustomerType,
    MerchantStatus,
    NetworkKind,
    RateKind,
)


@dataclass(frozen=True, slots=True)
class NetworkRef:
    id: UUID
    slug: str
    name: str
    kind: NetworkKind


@dataclass(frozen=True, slots=True)
class MerchantRef:
    """`network` is the network's slug, None where the merchant is direct.

    `deep_link_template` holds {link} (the percent-encoded target) and {click_id}. `allowed_landing_hosts` are host
    names in lower case; each stands for its subdomains too. `feed_settings` say how the merchant's
    feed files are read (column mapping, encoding and such); the offers domain knows their meaning.
    """

    id: UUID
    slug: str
    name: str
    status: MerchantStatus
    network: str | None
    currency: str
    deep_link_template: str | None
    allowed_landing_hosts: tuple[str, ...]
    click_window_days: int
    validation_days: int
    tracking_days: int
    logo_url: str | None
    description: str
    feed_settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    confirmation: ConfirmationTerms = ConfirmationTerms.ON_APPROVAL
    clawback: ClawbackTerms = ClawbackTerms.OWED


@dataclass(frozen=True, slots=True)
class NewMerchant:
    """A merchant to be made, as a draft. `network` is a slug."""

    slug: str
    name: str
    currency: str
    description: str = ""
    logo_url: str | None = None
    network: str | None = None
    deep_link_template: str | None = None
    allowed_landing_hosts: tuple[str, ...] = ()
    click_window_days: int = 30
    tracking_days: int = 3
    validation_days: int = 45
    confirmation: ConfirmationTerms = ConfirmationTerms.ON_APPROVAL
    clawback: ClawbackTerms = ClawbackTerms.OWED
    feed_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rate:
    """What the customer gets: `percent_bps` hundredths of a percent of the sale's amount, at most `cap_minor`, or
    `fixed_minor` a sale. The amounts are in minor units of `currency`. An empty `rate_category` is the default."""

    rate_category: str
    customer_type: CustomerType
    kind: RateKind
    percent_bps: int | None
    fixed_minor: int | None
    currency: str
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class RateSchedule:
    """The rates of a merchant in [valid_from, valid_until); None is open-ended."""

    merchant_id: UUID
    version: int
    valid_from: datetime
    valid_until: datetime | None
    rates: tuple[Rate, ...]
    exclusions: str
    terms: str

    def rate_for(self, rate_category: str, customer_type: str) -> Rate:
        """The closest rate: of the category before the default one, of the customer's type before `unknown`.

        There always is one: a schedule without a default rate for `unknown` is not published.
        """
        unknown = CustomerType.UNKNOWN
        closest = ((rate_category, customer_type), (rate_category, unknown), ("", customer_type), ("", unknown))
        for category, kind in closest:
            for rate in self.rates:
                if rate.rate_category == category and rate.customer_type == kind:
                    return rate
        raise LookupError("a schedule without a default rate")


@dataclass(frozen=True, slots=True)
class Boost:
    """A campaign that raises rates of a merchant for clicks in [starts_at, ends_at).

    It adds `added_bps` to percentages, or `added_minor` to fixed amounts, of the `rate_category` and `customer_type`;
    of None, of all. A cap below `raised_cap_minor` becomes that. With `joined_from` it is only for customers who joined
    since then.
    """

    id: UUID
    name: str
    rate_category: str | None
    customer_type: CustomerType | None
    joined_from: datetime | None
    added_bps: int | None
    added_minor: int | None
    raised_cap_minor: int | None
    starts_at: datetime
    ends_at: datetime

    def is_for(self, joined_at: datetime, at: datetime) -> bool:
        """Whether a click at that moment has it, by a customer who joined then."""
        return self.starts_at <= at < self.ends_at and (self.joined_from is None or joined_at >= self.joined_from)


@dataclass(frozen=True, slots=True)
class RaisedRate:
    """By how much a campaign has raised the rate of this category and type."""

    rate_category: str
    customer_type: CustomerType
    name: str
    added_bps: int | None
    added_minor: int | None


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """Rates to be published. `valid_from` None is at once. The rates' currency must be the merchant's."""

    rates: tuple[Rate, ...]
    valid_from: datetime | None = None
    exclusions: str = ""
    terms: str = ""
