"""What a click asks of many merchants at once: where they may be visited, and what they promise at that moment."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domains.merchants.errors import MerchantNotFound, NoRates
from domains.merchants.models import ClawbackTerms, ConfirmationTerms, CustomerType, MerchantStatus, RateKind
from domains.merchants.service.refs import Boost, MerchantRef, Rate, RateSchedule
from wapsi.db.arrays import array

# The row's version changes with whoever changes the row; a schedule never changes, so that its number says enough.
# By keys alone, however large the tables were when the session made its plan.
_NOW = """SELECT m.id, m.slug, m.xmin::text AS row_version, (
        SELECT s.version FROM rate_schedules s WHERE s.merchant_id = m.id AND s.valid_from <= $3
        ORDER BY s.valid_from DESC LIMIT 1) AS rates_version
    FROM merchants m WHERE m.id = ANY($1::text::uuid[]) OR m.slug = ANY($2::text::text[])"""
_MERCHANTS = """SELECT m.xmin::text AS row_version, m.id, m.slug, m.name, m.status, n.slug AS network, m.currency,
        m.deep_link_template, m.allowed_landing_hosts, m.click_window_days, m.validation_days, m.tracking_days,
        m.logo_url, m.description, m.confirmation, m.clawback
    FROM merchants m LEFT JOIN affiliate_networks n ON n.id = m.network_id WHERE m.id = ANY($1)"""
_SCHEDULES = """SELECT s.id, s.merchant_id, s.version, s.valid_from, s.exclusions, s.terms
    FROM unnest($1::uuid[], $2::integer[]) AS k (merchant_id, version)
    JOIN rate_schedules s ON s.merchant_id = k.merchant_id AND s.version = k.version"""
_BOOSTS = """SELECT id, name, rate_category, customer_type, joined_from, added_bps, added_minor, raised_cap_minor,
        starts_at, ends_at, merchant_id
    FROM rate_boosts WHERE merchant_id = ANY($1) AND ends_at > $2 ORDER BY starts_at, id"""
_RATES = """SELECT schedule_id, rate_category, customer_type, kind, percent_bps, fixed_minor, currency, cap_minor
    FROM rates WHERE schedule_id = ANY($1) ORDER BY rate_category, customer_type"""


@dataclass(frozen=True, slots=True)
class Visit:
    """A merchant as it is now, and the schedule valid at the moment; None where no rates had begun. With the campaigns
    that hold or are to come: the merchant's row changes with them.

    The same object as long as neither has changed.
    """

    merchant: MerchantRef
    schedule: RateSchedule | None
    boosts: tuple[Boost, ...] = ()


@dataclass(slots=True)
class _Known:
    row_version: str
    visit: Visit


def no_such_merchant(merchant: str) -> MerchantNotFound:
    return MerchantNotFound(f"There is no merchant {merchant}.", merchant=merchant)


def no_rates(merchant_id: UUID) -> NoRates:
    return NoRates("This merchant had no rates at that time.", merchant_id=str(merchant_id))


class Visits:
    """Remembers merchants and schedules, and asks in each transaction whether they are still the ones that hold.

    So what was published and committed before is never missed, while rows are read only where something is new.
    """

    def __init__(self) -> None:
        self._known: dict[UUID, _Known] = {}
        self._ids: dict[str, UUID] = {}

    async def at(
        self, driver: asyncpg.Connection, slugs: Iterable[str], merchant_ids: Iterable[UUID], at: datetime
    ) -> dict[UUID | str, Visit]:
        """By id and by slug, whatever the status; one that does not exist is absent."""
        wanted, unknown = set(merchant_ids), set()
        for slug in slugs:
            known = self._ids.get(slug)
            if known is None:
                unknown.add(slug)
            else:
                wanted.add(known)
        rows = await driver.fetch(_NOW, array(list(wanted)), array(list(unknown)), at)
        changed = [row for row in rows if not self._is_known(row)]
        if changed:
            await self._load(driver, changed, at)
        found: dict[UUID | str, Visit] = {}
        for row in rows:
            visit = self._known[row[0]].visit
            found[row[0]] = found[row[1]] = visit
        return found

    def _is_known(self, row: asyncpg.Record) -> bool:
        known = self._known.get(row[0])
        if known is None or known.row_version != row[2]:
            return False
        schedule = known.visit.schedule
        return bool(row[3] == (None if schedule is None else schedule.version))

    async def _load(self, driver: asyncpg.Connection, changed: Sequence[asyncpg.Record], at: datetime) -> None:
        versions = {row["id"]: row["rates_version"] for row in changed}
        schedules = await _schedules(driver, [(id_, version) for id_, version in versions.items() if version])
        boosts: dict[UUID, list[Boost]] = {}
        for row in await driver.fetch(_BOOSTS, list(versions), at):
            boosts.setdefault(row["merchant_id"], []).append(_boost(row))
        for row in await driver.fetch(_MERCHANTS, list(versions)):
            visit = Visit(_merchant(row), schedules.get(row["id"]), tuple(boosts.get(row["id"], ())))
            self._known[row["id"]] = _Known(row["row_version"], visit)
            self._ids[row["slug"]] = row["id"]


async def _schedules(driver: asyncpg.Connection, wanted: Collection[tuple[UUID, int]]) -> dict[UUID, RateSchedule]:
    """{merchant: schedule}"""
    rows = await driver.fetch(_SCHEDULES, [id_ for id_, _ in wanted], [version for _, version in wanted])
    rates: dict[UUID, list[Rate]] = {row["id"]: [] for row in rows}
    for row in await driver.fetch(_RATES, list(rates)):
        rates[row["schedule_id"]].append(_rate(row))
    return {
        row["merchant_id"]: RateSchedule(
            merchant_id=row["merchant_id"],
            version=row["version"],
            valid_from=row["valid_from"],
            valid_until=None,
            rates=tuple(rates[row["id"]]),
            exclusions=row["exclusions"],
            terms=row["terms"],
        )
        for row in rows
    }


def _boost(row: Any) -> Boost:
    fields = dict(row)
    del fields["merchant_id"]
    kind = fields["customer_type"]
    return Boost(**{**fields, "customer_type": None if kind is None else CustomerType(kind)})


def _merchant(row: Any) -> MerchantRef:
    return MerchantRef(
        id=row["id"],
        slug=row["slug"],
        name=row["name"],
        status=MerchantStatus(row["status"]),
        network=row["network"],
        currency=row["currency"],
        deep_link_template=row["deep_link_template"],
        allowed_landing_hosts=tuple(row["allowed_landing_hosts"]),
        click_window_days=row["click_window_days"],
        validation_days=row["validation_days"],
        tracking_days=row["tracking_days"],
        logo_url=row["logo_url"],
        description=row["description"],
        confirmation=ConfirmationTerms(row["confirmation"]),
        clawback=ClawbackTerms(row["clawback"]),
    )


def _rate(row: Any) -> Rate:
    return Rate(
        rate_category=row["rate_category"],
        customer_type=CustomerType(row["customer_type"]),
        kind=RateKind(row["kind"]),
        percent_bps=row["percent_bps"],
        fixed_minor=row["fixed_minor"],
        currency=row["currency"],
        cap_minor=row["cap_minor"],
    )
