"""REST shapes of the merchants domain. Amounts in minor units, days as whole numbers."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    StringConstraints,
    TypeAdapter,
)

from domains.merchants.service import (
    Boost,
    ClawbackTerms,
    ConfirmationTerms,
    CustomerType,
    MerchantRef,
    MerchantStatus,
    NetworkKind,
    NetworkRef,
    NewBoost,
    NewSchedule,
    Rate,
    RateKind,
    RateSchedule,
)
from wapsi.http.fields import Moment

_SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
_http_url: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _check_url(text: str) -> str:
    _http_url.validate_python(text)
    return text


Slug = Annotated[str, StringConstraints(pattern=_SLUG)]
SlugPath = Annotated[str, Path(pattern=_SLUG, description="The merchant's or network's slug.")]
# No control characters, NUL among them, which the database refuses. Spelt out: \p{Cc} is not in every reader's
# regular expressions, and OpenAPI shows the pattern.
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Prose = Annotated[str, StringConstraints(max_length=5000, pattern=r"^[^\x00]*$")]
URL = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[!-~]+$"), AfterValidator(_check_url)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Template = Annotated[str, StringConstraints(max_length=2000)]
Hosts = Annotated[list[str], Field(max_length=50)]
ClickWindowDays = Annotated[int, Field(ge=1, le=365, strict=True)]
TrackingDays = Annotated[int, Field(ge=0, le=365, strict=True)]
ValidationDays = Annotated[int, Field(ge=0, le=730, strict=True)]
AmountMinor = Annotated[int, Field(ge=0, le=10**12, strict=True)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MerchantOut(BaseModel):
    """A merchant as shoppers see it. A paused one takes no clicks at the moment.

    `tracking_days`: until a purchase usually shows up; `validation_days`: until it is usually confirmed, or, where
    `confirmation` is after_validation, until it is confirmed in any case that is not declined before. `clawback`: what
    is taken back after a withdrawal is owed, and kept back from the next cashback, or waived.
    """

    id: UUID
    slug: str
    name: str
    description: str
    logo_url: str | None
    status: MerchantStatus
    currency: str
    tracking_days: int
    validation_days: int
    confirmation: ConfirmationTerms
    clawback: ClawbackTerms

    @classmethod
    def of(cls, merchant: MerchantRef) -> Self:
        return cls.model_validate(merchant, from_attributes=True)


class AdminMerchantOut(MerchantOut):
    """A merchant with what only operators see."""

    network: str | None
    deep_link_template: str | None
    allowed_landing_hosts: list[str]
    click_window_days: int
    feed_settings: dict[str, Any]


class MerchantIn(_In):
    """`deep_link_template` holds {link} (the percent-encoded target) and {click_id}."""

    slug: Slug
    name: Line
    currency: CurrencyCode
    description: Prose = ""
    logo_url: URL | None = None
    network: Slug | None = None
    deep_link_template: Template | None = None
    allowed_landing_hosts: Hosts = []
    click_window_days: ClickWindowDays = 30
    tracking_days: TrackingDays = 3
    validation_days: ValidationDays = 45
    confirmation: ConfirmationTerms = ConfirmationTerms.ON_APPROVAL
    clawback: ClawbackTerms = ClawbackTerms.OWED
    feed_settings: dict[str, Any] = {}


class MerchantPatch(_In):
    """What is left out stays as it is. Slug and currency never change."""

    name: Line = ""
    description: Prose = ""
    logo_url: URL | None = None
    network: Slug | None = None
    deep_link_template: Template | None = None
    allowed_landing_hosts: Hosts = []
    click_window_days: ClickWindowDays = 30
    tracking_days: TrackingDays = 3
    validation_days: ValidationDays = 45
    confirmation: ConfirmationTerms = ConfirmationTerms.ON_APPROVAL
    clawback: ClawbackTerms = ClawbackTerms.OWED
    feed_settings: dict[str, Any] = {}


class RateOut(BaseModel):
    """`percent_bps` are hundredths of a percent of the sale's amount; `cap_minor` is the most that one sale brings."""

    rate_category: str
    customer_type: CustomerType
    kind: RateKind
    percent_bps: int | None
    fixed_minor: int | None
    currency: str
    cap_minor: int | None


class ScheduleOut(BaseModel):
    """Rates valid from `valid_from` up to, not including, `valid_until`; null is open-ended."""

    version: int
    valid_from: datetime
    valid_until: datetime | None
    exclusions: str
    terms: str
    rates: list[RateOut]

    @classmethod
    def of(cls, schedule: RateSchedule) -> Self:
        return cls.model_validate(schedule, from_attributes=True)


class BoostOut(BaseModel):
    """A campaign: clicks from `starts_at` up to, not including, `ends_at` have rates that are raised by `added_bps`
    hundredths of a percent, or by `added_minor`. A null category or type stands for all; with `joined_from` it is for
    customers who joined since then. Of several, the one that adds most counts."""

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

    @classmethod
    def of(cls, boost: Boost) -> Self:
        return cls.model_validate(boost, from_attributes=True)


class BoostIn(_In):
    """Without `starts_at` it holds at once."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
    ends_at: Moment
    starts_at: Moment | None = None
    rate_category: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] | None = None
    customer_type: CustomerType | None = None
    joined_from: Moment | None = None
    added_bps: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    added_minor: Annotated[int, Field(ge=1, le=10**12, strict=True)] | None = None
    raised_cap_minor: Annotated[int, Field(ge=1, le=10**12, strict=True)] | None = None

    def to_boost(self) -> NewBoost:
        return NewBoost(**self.model_dump())


class RatesOut(BaseModel):
    """`current` is null for a merchant whose first rates have not begun. `boosts` are campaigns that hold or are to
    come."""

    merchant: str
    current: ScheduleOut | None
    upcoming: list[ScheduleOut]
    boosts: list[BoostOut]


class RateIn(_In):
    """The empty category is the default; there must be one for the customer type `unknown`."""

    rate_category: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] = ""
    customer_type: CustomerType = CustomerType.UNKNOWN
    kind: RateKind
    percent_bps: Annotated[int, Field(ge=0, le=10_000, strict=True)] | None = None
    fixed_minor: AmountMinor | None = None
    currency: CurrencyCode
    cap_minor: AmountMinor | None = None


class ScheduleIn(_In):
    """Without `valid_from` it is valid at once."""

    rates: Annotated[list[RateIn], Field(min_length=1, max_length=1000)]
    valid_from: Moment | None = None
    exclusions: Prose = ""
    terms: Prose = ""

    def to_schedule(self) -> NewSchedule:
        rates = tuple(Rate(**rate.model_dump()) for rate in self.rates)
        return NewSchedule(rates, self.valid_from, self.exclusions, self.terms)


class NetworkIn(_In):
    slug: Slug
    name: Line
    kind: NetworkKind = NetworkKind.AGGREGATOR


class NetworkOut(BaseModel):
    id: UUID
    slug: str
    name: str
    kind: NetworkKind

    @classmethod
    def of(cls, network: NetworkRef) -> Self:
        return cls.model_validate(network, from_attributes=True)


class NetworkWithSecret(NetworkOut):
    """`secret` (Standard Webhooks) is shown once: it is null when the same request is repeated.

    `previous_valid_until`: how long the secret before it is accepted too; null for a new network.
    """

    secret: str | None
    previous_valid_until: datetime | None = None
