"""Campaigns: a merchant's rates raised for a while. What a click was promised by one is in its receipt, and is paid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from domains.merchants.errors import BoostEnded, BoostInvalid, BoostNotFound, MerchantArchived, MerchantNotFound
from domains.merchants.models import BoostRow, CustomerType, MerchantRow, MerchantStatus, RateKind
from domains.merchants.service.rates import MAX_AMOUNT_MINOR, MAX_PERCENT_BPS, PAST_TOLERANCE, rates_at
from domains.merchants.service.refs import Boost, RaisedRate, Rate, RateSchedule
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import FieldViolation
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

LONGEST = timedelta(days=366)
MOST_AT_ONCE = 50
_Key = tuple[str, CustomerType]


@dataclass(frozen=True, slots=True)
class NewBoost:
    """See Boost. `starts_at` None is at once."""

    name: str
    ends_at: datetime
    starts_at: datetime | None = None
    rate_category: str | None = None
    customer_type: CustomerType | None = None
    joined_from: datetime | None = None
    added_bps: int | None = None
    added_minor: int | None = None
    raised_cap_minor: int | None = None


def raised(schedule: RateSchedule, boosts: Sequence[Boost]) -> tuple[RateSchedule, tuple[RaisedRate, ...]]:
    """The schedule with what the campaigns add, and what they have added to which rate.

    Campaigns do not add up: of several, the one that adds most counts. A category, or a type of customer, that has no
    rate of its own gets one where a campaign is for it.
    """
    rates: dict[_Key, Rate] = {(rate.rate_category, rate.customer_type): rate for rate in schedule.rates}
    best: dict[_Key, tuple[int, Boost]] = {}
    for boost in boosts:
        for key in _keys(boost, rates):
            added = boost.added_bps if _base(schedule, key).kind is RateKind.PERCENT else boost.added_minor
            if added is not None and (key not in best or added > best[key][0]):
                best[key] = added, boost
    told = []
    for key, (_, boost) in sorted(best.items()):
        rates[key] = _raised(_base(schedule, key), key, boost)
        told.append(RaisedRate(*key, boost.name, boost.added_bps, boost.added_minor))
    ordered = tuple(rate for _, rate in sorted(rates.items()))
    return (replace(schedule, rates=ordered) if told else schedule), tuple(told)


def _keys(boost: Boost, rates: Iterable[_Key]) -> list[_Key]:
    """Of the rates that it raises, those too that are not there by themselves."""
    known = list(rates)
    categories = {category for category, _ in known} if boost.rate_category is None else {boost.rate_category}
    keys = []
    for category in categories:
        if boost.customer_type is not None:
            keys.append((category, boost.customer_type))
            continue
        own = [key for key in known if key[0] == category]
        keys += own or [(category, kind) for other, kind in known if other == ""]
    return keys


def _base(schedule: RateSchedule, key: _Key) -> Rate:
    return schedule.rate_for(key[0], str(key[1]))


def _raised(base: Rate, key: _Key, boost: Boost) -> Rate:
    cap_minor = base.cap_minor
    if cap_minor is not None and boost.raised_cap_minor is not None:
        cap_minor = max(cap_minor, boost.raised_cap_minor)
    percent_bps, fixed_minor = base.percent_bps, base.fixed_minor
    if percent_bps is not None:
        percent_bps = min(percent_bps + (boost.added_bps or 0), MAX_PERCENT_BPS)
    if fixed_minor is not None:
        fixed_minor += boost.added_minor or 0
    return Rate(key[0], key[1], base.kind, percent_bps, fixed_minor, base.currency, cap_minor)


async def boosts_of(session: ReadSession, merchant_id: UUID) -> list[Boost]:
    """Those that hold or are to come, the first to begin first."""
    rows = await session.scalars(
        select(BoostRow)
        .where(BoostRow.merchant_id == merchant_id, BoostRow.ends_at > now())
        .order_by(BoostRow.starts_at, BoostRow.id)
    )
    return [_boost(row) for row in rows]


async def add_boost(session: WriteSession, principal: Principal | None, slug: str, new: NewBoost) -> Boost:
    """Raises MerchantNotFound, MerchantArchived, NoRates, and BoostInvalid where it would raise nothing."""
    merchant = await _locked(session, slug)
    moment = now()
    starts_at = new.starts_at or moment
    _check(new, starts_at, moment)
    row = BoostRow(
        id=new_id(),
        merchant_id=merchant.id,
        name=new.name,
        rate_category=new.rate_category,
        customer_type=new.customer_type,
        joined_from=new.joined_from,
        added_bps=new.added_bps,
        added_minor=new.added_minor,
        raised_cap_minor=new.raised_cap_minor,
        starts_at=starts_at,
        ends_at=new.ends_at,
        created_by=audit.SYSTEM if principal is None else str(principal),
        created_at=moment,
    )
    boost = _boost(row)
    if len(await boosts_of(session, merchant.id)) >= MOST_AT_ONCE:
        raise BoostInvalid(f"A merchant has at most {MOST_AT_ONCE} campaigns that hold or are to come.")
    if not raised(await rates_at(session, merchant.id, max(starts_at, moment)), [boost])[1]:
        kind = "percentage" if new.added_bps is not None else "fixed amount"
        raise BoostInvalid(f"This campaign raises nothing: no rate that it is for is a {kind}.")
    session.add(row)
    # So that whoever remembers the merchant reads it anew.
    merchant.revision += 1
    await session.flush()
    await audit.record(
        session,
        principal,
        action="boost.added",
        target=f"merchant:{slug}",
        after={
            "name": row.name,
            "starts_at": starts_at.isoformat(),
            "ends_at": row.ends_at.isoformat(),
            "added_bps": row.added_bps,
            "added_minor": row.added_minor,
        },
    )
    return boost


async def end_boost(session: WriteSession, principal: Principal, slug: str, boost_id: UUID) -> Boost:
    """Clicks from now on do not have it; those before keep it. Raises MerchantNotFound, BoostNotFound, BoostEnded."""
    merchant = await _locked(session, slug)
    row = await session.get_locked(BoostRow, boost_id)
    if row is None or row.merchant_id != merchant.id:
        raise BoostNotFound("There is no such campaign.", boost_id=str(boost_id))
    moment, before = now(), row.ends_at
    if before <= moment:
        raise BoostEnded(f"The campaign “{row.name}” ended at {before.isoformat()}.", boost_id=str(boost_id))
    row.ends_at = max(moment, row.starts_at)
    merchant.revision += 1
    await session.flush()
    await audit.record(
        session,
        principal,
        action="boost.ended",
        target=f"merchant:{slug}",
        before={"name": row.name, "ends_at": before.isoformat()},
        after={"name": row.name, "ends_at": row.ends_at.isoformat()},
    )
    return _boost(row)


async def _locked(session: WriteSession, slug: str) -> MerchantRow:
    merchant = await session.scalar(select(MerchantRow).where(MerchantRow.slug == slug).with_for_update())
    if merchant is None:
        raise MerchantNotFound(f"There is no merchant {slug}.", merchant=slug)
    if merchant.status == MerchantStatus.ARCHIVED:
        raise MerchantArchived(f"The merchant {slug} is archived; it has no campaigns.", merchant=slug)
    return merchant


def _check(new: NewBoost, starts_at: datetime, moment: datetime) -> None:
    violations = [
        FieldViolation(name, "must name its UTC offset")
        for name in ("starts_at", "ends_at", "joined_from")
        if (value := getattr(new, name)) is not None and value.tzinfo is None
    ]
    if not violations:
        if starts_at < moment - PAST_TOLERANCE:
            violations.append(FieldViolation("starts_at", "lies in the past: clicks have been made without it"))
        if not starts_at < new.ends_at <= starts_at + LONGEST:
            violations.append(FieldViolation("ends_at", f"must be after the start, by at most {LONGEST.days} days"))
    if (new.added_bps is None) == (new.added_minor is None):
        violations.append(FieldViolation("added_bps", "or added_minor must be given, and not both"))
    for name, most in (
        ("added_bps", MAX_PERCENT_BPS),
        ("added_minor", MAX_AMOUNT_MINOR),
        ("raised_cap_minor", MAX_AMOUNT_MINOR),
    ):
        value = getattr(new, name)
        if value is not None and not 0 < value <= most:
            violations.append(FieldViolation(name, f"must be 1 to {most}"))
    if new.customer_type is CustomerType.UNKNOWN:
        violations.append(FieldViolation("customer_type", "is new, existing, or left out for all"))
    if violations:
        first = violations[0]
        raise BoostInvalid(f"This campaign cannot be added: {first.field} {first.description}.", violations=violations)


def _boost(row: BoostRow) -> Boost:
    return Boost(
        id=row.id,
        name=row.name,
        rate_category=row.rate_category,
        customer_type=None if row.customer_type is None else CustomerType(row.customer_type),
        joined_from=row.joined_from,
        added_bps=row.added_bps,
        added_minor=row.added_minor,
        raised_cap_minor=row.raised_cap_minor,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )
