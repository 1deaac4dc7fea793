"""Merchants as listings need them: all at once, in memory, with what they pay back now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domains.merchants.models import CustomerType, MerchantStatus, RateKind
from domains.merchants.service.refs import Rate
from wapsi.db import Reads
from wapsi.db.versions import Versions
from wapsi.money import percent_of

# Grows when a merchant is changed, moved, or publishes rates.
VERSION_SQL = "SELECT coalesce(sum(revision), 0) + count(*) FROM merchants"

_MERCHANTS = "SELECT id, slug, name, status FROM merchants"
_SCHEDULES = (
    "SELECT s.id, s.merchant_id, s.valid_from FROM rate_schedules s"
    " WHERE s.valid_from >= coalesce((SELECT max(begun.valid_from) FROM rate_schedules begun"
    " WHERE begun.merchant_id = s.merchant_id AND begun.valid_from <= now()), now())"
    " ORDER BY s.merchant_id, s.valid_from"
)
_RATES = (
    "SELECT schedule_id, rate_category, kind, percent_bps, fixed_minor, currency, cap_minor FROM rates"
    " WHERE customer_type = 'unknown' AND schedule_id = ANY($1)"
)


@dataclass(frozen=True, slots=True)
class ListedMerchant:
    """`rates`: for customers of the type unknown by rate category, those that hold now and those that begin later."""

    id: UUID
    slug: str
    name: str
    status: MerchantStatus
    rates: Sequence[tuple[datetime, Mapping[str, Rate]]] = ()

    def returned_minor(self, price_minor: int, currency: str, rate_category: str, at: datetime) -> int:
        """What comes back of a purchase at this price, at least; by the rates of that moment.

        Nothing in another currency than that of the rates: such a sale would earn nothing.
        """
        for valid_from, rates in reversed(self.rates):
            if valid_from <= at:
                rate = rates.get(rate_category) or rates[""]
                return reward_minor(rate, price_minor) if rate.currency == currency else 0
        return 0

    def lowest_net_minor(self, price_minor: int) -> int:
        """What a purchase at this price or more costs at least after what comes back, by whichever rate it may be."""
        rates = [rate for _valid_from, by_category in self.rates for rate in by_category.values()]
        return max(0, price_minor - max((reward_minor(rate, price_minor) for rate in rates), default=0))


@dataclass(frozen=True, slots=True)
class Directory:
    """Every merchant, whatever its status, by id and by slug."""

    by_id: Mapping[UUID, ListedMerchant]
    by_slug: Mapping[str, ListedMerchant] = field(repr=False)
    not_active_ids: Sequence[UUID]


def reward_minor(rate: Rate, order_amount_minor: int) -> int:
    """What a rate gives for a sale, at most its cap. Minor units of the rate's currency."""
    amount_minor = uncapped_minor(rate, order_amount_minor)
    return amount_minor if rate.cap_minor is None else min(amount_minor, rate.cap_minor)


def uncapped_minor(rate: Rate, order_amount_minor: int) -> int:
    """What it would give without a cap, cut to the minor unit."""
    if rate.kind is RateKind.FIXED:
        assert rate.fixed_minor is not None
        return rate.fixed_minor
    assert rate.percent_bps is not None
    return percent_of(order_amount_minor, rate.percent_bps)


async def directory(versions: Versions) -> Directory:
    """As of a moment ago. Raises DatabaseUnavailable."""
    return await versions.snapshot("directory", "merchants", _load)


async def _load(reads: Reads) -> Directory:
    begun = await reads.fetch(_SCHEDULES)
    rates: dict[UUID, dict[str, Rate]] = {row["id"]: {} for row in begun}
    for row in await reads.fetch(_RATES, list(rates)):
        rates[row["schedule_id"]][row["rate_category"]] = _rate(row)
    of_merchants: dict[UUID, list[tuple[datetime, Mapping[str, Rate]]]] = {}
    for row in begun:
        of_merchants.setdefault(row["merchant_id"], []).append((row["valid_from"], rates[row["id"]]))
    listed = [
        ListedMerchant(
            row["id"], row["slug"], row["name"], MerchantStatus(row["status"]), of_merchants.get(row["id"], ())
        )
        for row in await reads.fetch(_MERCHANTS)
    ]
    return Directory(
        by_id={merchant.id: merchant for merchant in listed},
        by_slug={merchant.slug: merchant for merchant in listed},
        not_active_ids=[merchant.id for merchant in listed if merchant.status != MerchantStatus.ACTIVE],
    )


def _rate(row: Any) -> Rate:
    return Rate(
        rate_category=row["rate_category"],
        customer_type=CustomerType.UNKNOWN,
        kind=RateKind(row["kind"]),
        percent_bps=row["percent_bps"],
        fixed_minor=row["fixed_minor"],
        currency=row["currency"],
        cap_minor=row["cap_minor"],
    )
