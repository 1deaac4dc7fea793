"""Rate schedules: published, never changed; each is valid until the next one begins, so that none overlap."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from domains.merchants.errors import MerchantArchived, MerchantNotFound, NoRates, RatesInvalid, RatesNotLater
from domains.merchants.models import (
    CustomerType,
    MerchantRow,
    MerchantStatus,
    RateKind,
    RateRow,
    RateScheduleRow,
)
from domains.merchants.service.refs import NewSchedule, Rate, RateSchedule
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import FieldViolation
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

# For the way from an operator's clock to ours.
PAST_TOLERANCE = timedelta(minutes=1)
MAX_RATES = 1000
MAX_PERCENT_BPS = 10_000
MAX_AMOUNT_MINOR = 10**12


async def rates_at(session: ReadSession, merchant_id: UUID, at: datetime) -> RateSchedule:
    """The schedule valid at that moment. Raises NoRates where none had begun."""
    schedules = await _schedules_from(session, merchant_id, at, limit=2)
    if not schedules or schedules[0].valid_from > at:
        raise NoRates("This merchant had no rates at that time.", merchant_id=str(merchant_id))
    return schedules[0]


async def current_and_upcoming(
    session: ReadSession, merchant_id: UUID, at: datetime
) -> tuple[RateSchedule | None, list[RateSchedule]]:
    """The schedule valid at that moment, None before the first, and those that begin later, in order."""
    schedules = await _schedules_from(session, merchant_id, at, limit=None)
    if schedules and schedules[0].valid_from <= at:
        return schedules[0], schedules[1:]
    return None, schedules


async def current_versions(session: ReadSession, at: datetime) -> dict[UUID, int]:
    """The version of the schedule valid at that moment, of each merchant that had one."""
    rows = await session.execute(
        select(RateScheduleRow.merchant_id, func.max(RateScheduleRow.version).label("version"))
        .where(RateScheduleRow.valid_from <= at)
        .group_by(RateScheduleRow.merchant_id)
    )
    return {row.merchant_id: row.version for row in rows}


async def publish_rates(
    session: WriteSession, principal: Principal | None, slug: str, new: NewSchedule
) -> RateSchedule:
    """Raises MerchantNotFound, MerchantArchived, RatesInvalid and RatesNotLater."""
    # The lock makes publications of one merchant follow one another.
    merchant = await session.scalar(select(MerchantRow).where(MerchantRow.slug == slug).with_for_update())
    if merchant is None:
        raise MerchantNotFound(f"There is no merchant {slug}.", merchant=slug)
    if merchant.status == MerchantStatus.ARCHIVED:
        raise MerchantArchived(f"The merchant {slug} is archived; it takes no new rates.", merchant=slug)
    _check_rates(new.rates, merchant.currency)
    latest = await session.scalar(
        select(RateScheduleRow)
        .where(RateScheduleRow.merchant_id == merchant.id)
        .order_by(RateScheduleRow.version.desc())
        .limit(1)
    )
    valid_from = _check_start(new.valid_from, latest)
    row = RateScheduleRow(
        id=new_id(),
        merchant_id=merchant.id,
        version=1 if latest is None else latest.version + 1,
        valid_from=valid_from,
        exclusions=new.exclusions,
        terms=new.terms,
        published_by=audit.SYSTEM if principal is None else str(principal),
    )
    session.add(row)
    await session.flush()
    session.add_all([_rate_row(row.id, rate) for rate in new.rates])
    merchant.revision += 1
    await session.flush()
    await audit.record(
        session,
        principal,
        action="rates.published",
        target=f"merchant:{slug}",
        after={"version": row.version, "valid_from": valid_from.isoformat(), "rates": len(new.rates)},
    )
    return _schedule(row, None, new.rates)


def _check_start(asked: datetime | None, latest: RateScheduleRow | None) -> datetime:
    moment = now()
    if asked is not None and asked.tzinfo is None:
        raise RatesInvalid("valid_from must name its UTC offset.", violations=[FieldViolation("valid_from", "naive")])
    valid_from = asked or moment
    if valid_from < moment - PAST_TOLERANCE:
        raise RatesNotLater("Rates cannot begin in the past: clicks have been made on those before.")
    if latest is not None and valid_from <= latest.valid_from:
        raise RatesNotLater(
            f"Rates must begin after version {latest.version} does, at {latest.valid_from.isoformat()}.",
            version=latest.version,
            valid_from=latest.valid_from.isoformat(),
        )
    return valid_from


def _check_rates(rates: Sequence[Rate], currency: str) -> None:
    violations = [
        FieldViolation(f"rates.{position}", fault)
        for position, rate in enumerate(rates)
        if (fault := _rate_fault(rate, currency)) is not None
    ]
    keys = [(rate.rate_category, rate.customer_type) for rate in rates]
    if len(set(keys)) < len(keys):
        violations.append(FieldViolation("rates", "has a category and customer type twice"))
    if ("", CustomerType.UNKNOWN) not in keys:
        violations.append(FieldViolation("rates", "needs a default: an empty category for the customer type unknown"))
    else:
        violations += _backwards(rates)
    if len(rates) > MAX_RATES:
        violations.append(FieldViolation("rates", f"has more than {MAX_RATES} lines"))
    if violations:
        first = violations[0]
        raise RatesInvalid(
            f"These rates cannot be published: {first.field} {first.description}.", violations=violations
        )


def _backwards(rates: Sequence[Rate]) -> list[FieldViolation]:
    """Whether a customer is new is often told late: what was shown as unknown until then must not become less."""
    unknowns = {rate.rate_category: rate for rate in rates if rate.customer_type == CustomerType.UNKNOWN}
    violations = []
    for position, rate in enumerate(rates):
        unknown = unknowns.get(rate.rate_category, unknowns[""])
        if rate.customer_type == CustomerType.UNKNOWN or unknown.kind != rate.kind:
            continue
        less = (rate.percent_bps or 0, rate.fixed_minor or 0) < (unknown.percent_bps or 0, unknown.fixed_minor or 0)
        lower_cap = rate.cap_minor is not None and (unknown.cap_minor is None or rate.cap_minor < unknown.cap_minor)
        if less or lower_cap:
            violations.append(
                FieldViolation(f"rates.{position}", f"gives {rate.customer_type} customers less than unknown ones")
            )
    return violations


def _rate_fault(rate: Rate, currency: str) -> str | None:
    if rate.currency != currency:
        return f"must be in the merchant's currency, {currency}"
    if rate.cap_minor is not None and not 0 < rate.cap_minor <= MAX_AMOUNT_MINOR:
        return f"must have a cap_minor of 1 to {MAX_AMOUNT_MINOR}, or none"
    if rate.kind == RateKind.PERCENT:
        if rate.fixed_minor is not None or rate.percent_bps is None or not 0 <= rate.percent_bps <= MAX_PERCENT_BPS:
            return f"of the kind percent needs percent_bps of 0 to {MAX_PERCENT_BPS}, and no fixed_minor"
    elif rate.percent_bps is not None or rate.fixed_minor is None or not 0 <= rate.fixed_minor <= MAX_AMOUNT_MINOR:
        return f"of the kind fixed needs fixed_minor of 0 to {MAX_AMOUNT_MINOR}, and no percent_bps"
    return None


async def _schedules_from(
    session: ReadSession, merchant_id: UUID, at: datetime, *, limit: int | None
) -> list[RateSchedule]:
    """The one valid at `at`, if any, and those after it. With a limit, the end of the last one is not known."""
    begun = (
        select(func.max(RateScheduleRow.valid_from))
        .where(RateScheduleRow.merchant_id == merchant_id, RateScheduleRow.valid_from <= at)
        .scalar_subquery()
    )
    statement = (
        select(RateScheduleRow)
        .where(
            RateScheduleRow.merchant_id == merchant_id,
            RateScheduleRow.valid_from >= func.coalesce(begun, at),
        )
        .order_by(RateScheduleRow.valid_from)
        .limit(limit)
    )
    rows = (await session.scalars(statement)).all()
    rates: dict[UUID, list[Rate]] = {row.id: [] for row in rows}
    lines = await session.scalars(
        select(RateRow).where(RateRow.schedule_id.in_(rates)).order_by(RateRow.rate_category, RateRow.customer_type)
    )
    for line in lines:
        rates[line.schedule_id].append(_rate(line))
    ends = [row.valid_from for row in rows[1:]]
    return [_schedule(row, until, rates[row.id]) for row, until in zip(rows, [*ends, None], strict=False)]


def _schedule(row: RateScheduleRow, valid_until: datetime | None, rates: Sequence[Rate]) -> RateSchedule:
    return RateSchedule(
        merchant_id=row.merchant_id,
        version=row.version,
        valid_from=row.valid_from,
        valid_until=valid_until,
        rates=tuple(rates),
        exclusions=row.exclusions,
        terms=row.terms,
    )


def _rate(row: RateRow) -> Rate:
    return Rate(
        rate_category=row.rate_category,
        customer_type=CustomerType(row.customer_type),
        kind=RateKind(row.kind),
        percent_bps=row.percent_bps,
        fixed_minor=row.fixed_minor,
        currency=row.currency,
        cap_minor=row.cap_minor,
    )


def _rate_row(schedule_id: UUID, rate: Rate) -> RateRow:
    return RateRow(
        schedule_id=schedule_id,
        rate_category=rate.rate_category,
        customer_type=rate.customer_type,
        kind=rate.kind,
        percent_bps=rate.percent_bps,
        fixed_minor=rate.fixed_minor,
        currency=rate.currency,
        cap_minor=rate.cap_minor,
    )
