"""Clicks: a customer's way out to a merchant, with the receipt of what was promised for it.

Clicks that come at the same time are recorded together: the number of statements does not depend on how many they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import asyncpg
from sqlalchemy import select, text

from domains.cashback.errors import ClickTargetInvalid, CustomerNotActive, MerchantNotClickable
from domains.cashback.models import ClickRow
from domains.cashback.service import click_rows, receipts
from domains.cashback.service.click_rows import NewRow
from domains.cashback.service.links import (
    check_landing_link,
    click_token,
    tracked_link,
    unknown_click,
)
from domains.customers import service as customers
from domains.customers.service import standing
from domains.merchants import service as merchants
from domains.merchants.service import MerchantRef, visits
from domains.merchants.service.visits import Visit
from domains.offers.service import OfferRef, buyable
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import DomainError
from wapsi.ids import new_ids, time_of
from wapsi.security.signing import Keys

PARTITION_MONTHS_AHEAD = 3
_USER_AGENT_LENGTH = 400
_BOT = re.compile(
    r"bot\b|crawl|spider|slurp|preview|scrap|headless|phantom|curl/|wget/|python-|httpx|go-http|java/|libwww", re.I
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REMEMBERED_AGENTS = 2000


@dataclass(slots=True)
class NewClick:
    """On an offer, or on a merchant as a whole. `link` says where to land, by default the offer's page."""

    offer_id: UUID | None = None
    merchant: str | None = None
    link: str | None = None
    user_agent: str = ""


@dataclass(slots=True)
class ClickRequest:
    """`trace_id`: of the request, since a group has many."""

    customer_id: UUID
    new: NewClick
    trace_id: str | None = None


@dataclass(slots=True)
class Click:
    """`url` is the short link to follow, `receipt` the signed promise."""

    id: UUID
    merchant_id: UUID
    url: str
    receipt: str = ""


class ClickBook:
    """What a process needs to record clicks, and what it remembers of merchants and of their terms."""

    def __init__(self, keys: Keys, public_url: str) -> None:
        self._keys = keys
        self._public_url = public_url
        self._visits = visits.Visits()
        self._terms: dict[UUID, tuple[Visit, dict[tuple[merchants.Boost, ...], _Terms]]] = {}
        self.under_way = click_rows.UnderWay()

    async def record(self, driver: asyncpg.Connection, requests: Sequence[ClickRequest]) -> list[Click | DomainError]:
        """Records all that can be, in this order, and says of each what became of it.

        Refusals are ClickTargetInvalid, CustomerNotActive, MerchantNotClickable, LandingLinkRefused and what the other
        domains say of an unknown customer, offer or merchant, or one without rates. All clicks of a group are of one
        moment, and what is promised is what was committed before it. In a transaction with click_rows.BY_KEYS.
        """
        ids = new_ids(len(requests))
        at = time_of(ids[0])
        facts = await self._facts(driver, requests, at)
        answers: list[Click | DomainError] = []
        made: list[tuple[Click, NewRow]] = []
        claims: list[bytes] = []
        for click_id, request in zip(ids, requests, strict=True):
            try:
                click, row, claimed = self._click(facts, click_id, at, request)
            except DomainError as refusal:
                answers.append(refusal)
                continue
            answers.append(click)
            made.append((click, row))
            claims.append(claimed)
        for (click, row), receipt in zip(made, receipts.sign_together(self._keys, claims), strict=True):
            click.receipt = row.receipt = receipt
            row.receipt_mac = receipts.mac(self._keys, receipt)
        await click_rows.insert(driver, at, [row for _, row in made], self.under_way)
        return answers

    async def _facts(self, driver: asyncpg.Connection, requests: Sequence[ClickRequest], at: datetime) -> "_Facts":
        statuses = await standing.statuses_of(driver, {request.customer_id for request in requests})
        offer_ids = {request.new.offer_id for request in requests if request.new.offer_id is not None}
        offers = await buyable.buyable_offers(driver, offer_ids)
        slugs = {request.new.merchant for request in requests if request.new.merchant is not None}
        found = await self._visits.at(driver, slugs, {offer.merchant_id for offer in offers.values()}, at)
        return _Facts(statuses, offers, found)

    def _click(
        self, facts: "_Facts", click_id: UUID, at: datetime, request: ClickRequest
    ) -> tuple[Click, NewRow, bytes]:
        """All but the receipt, and the claims of that. Raises what a click is refused by."""
        status = facts.statuses.get(request.customer_id)
        if status is None:
            raise standing.no_such_customer(request.customer_id)
        if status is not customers.CustomerStatus.ACTIVE:
            raise CustomerNotActive("This account is not active.")
        new = request.new
        visit, offer = facts.target(new)
        merchant, schedule = visit.merchant, visit.schedule
        if merchant.status is not merchants.MerchantStatus.ACTIVE or merchant.deep_link_template is None:
            raise MerchantNotClickable(f"{merchant.name} takes no visits at the moment.", merchant=merchant.slug)
        landing = check_landing_link(_landing_link(new, merchant, offer), merchant.allowed_landing_hosts)
        if schedule is None:
            raise visits.no_rates(merchant.id)
        terms = self._terms_of(visit, schedule, request.customer_id, at)
        if terms.claims is None:
            first = receipts.promise(click_id, request.customer_id, at, merchant, terms.schedule, offer, terms.raised)
            terms.claims = receipts.terms_of(self._public_url, first)
        agent, bot = _user_agent(new.user_agent[:_USER_AGENT_LENGTH])
        row = NewRow(
            id=click_id,
            customer_id=request.customer_id,
            merchant_id=merchant.id,
            offer_id=new.offer_id,
            currency=merchant.currency,
            landing_url=landing,
            target_url=tracked_link(merchant.deep_link_template, landing, click_id),
            rate_schedule_version=schedule.version,
            user_agent=agent,
            bot=bot,
            trace_id=request.trace_id,
        )
        click = Click(click_id, merchant.id, f"{self._public_url}/r/{click_token(self._keys, click_id)}")
        times, of_offer = facts.times(at, merchant), receipts.offer_claims(offer)
        return click, row, receipts.joined_claims(click_id, request.customer_id, times, of_offer, terms.claims)

    def _terms_of(self, visit: Visit, schedule: merchants.RateSchedule, customer_id: UUID, at: datetime) -> "_Terms":
        """What is promised to this customer: alike for all who have the same campaigns."""
        boosts = visit.boosts and tuple(boost for boost in visit.boosts if boost.is_for(time_of(customer_id), at))
        known = self._terms.get(visit.merchant.id)
        if known is None or known[0] is not visit:
            known = self._terms[visit.merchant.id] = (visit, {})
        terms = known[1].get(boosts)
        if terms is None:
            terms = known[1][boosts] = _Terms(*merchants.raised(schedule, boosts))
        return terms


@dataclass(slots=True)
class _Terms:
    """The rates with what campaigns add, and the claims of receipts that they make, once there is one."""

    schedule: merchants.RateSchedule
    raised: tuple[merchants.RaisedRate, ...]
    claims: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Facts:
    statuses: dict[UUID, customers.CustomerStatus]
    offers: dict[UUID, OfferRef]
    merchants: dict[UUID | str, Visit]
    # The claims of a group's one moment, by the merchants' days.
    known_times: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def times(self, at: datetime, merchant: MerchantRef) -> bytes:
        days = (merchant.tracking_days, merchant.validation_days)
        times = self.known_times.get(days)
        if times is None:
            times = self.known_times[days] = receipts.times_of(at, *receipts.expected_at(at, merchant))
        return times

    def target(self, new: NewClick) -> tuple[Visit, OfferRef | None]:
        """Raises ClickTargetInvalid, MerchantNotFound and OfferNotFound."""
        if (new.offer_id is None) == (new.merchant is None):
            raise ClickTargetInvalid("Name either an offer_id or a merchant.")
        if new.offer_id is None:
            assert new.merchant is not None
            visit = self.merchants.get(new.merchant)
            if visit is None or visit.merchant.status not in merchants.PUBLIC_STATUSES:
                raise visits.no_such_merchant(new.merchant)
            return visit, None
        offer = self.offers.get(new.offer_id)
        visit = None if offer is None else self.merchants.get(offer.merchant_id)
        if visit is None or visit.merchant.status is not merchants.MerchantStatus.ACTIVE:
            raise buyable.no_such_offer(new.offer_id)
        return visit, offer


def is_bot(user_agent: str) -> bool:
    """What calls itself a program. Only marked: a claim may still be about it."""
    return not user_agent.strip() or _BOT.search(user_agent) is not None


@lru_cache(_REMEMBERED_AGENTS)
def _user_agent(text: str) -> tuple[str, bool]:
    """As it is kept, and whether it is a program's. A few browsers make most of the clicks."""
    return _CONTROL.sub(" ", text), is_bot(text)


def _landing_link(new: NewClick, merchant: merchants.MerchantRef, offer: OfferRef | None) -> str:
    if new.link is not None:
        return new.link
    if offer is not None:
        return offer.link
    if not merchant.allowed_landing_hosts:
        raise MerchantNotClickable(f"{merchant.name} takes no visits at the moment.", merchant=merchant.slug)
    return f"https://{merchant.allowed_landing_hosts[0]}/"


async def get_receipt(session: ReadSession, customer_id: UUID, click_id: UUID) -> str:
    """The signed receipt of an own click. Raises ClickNotFound, for another customer's too."""
    row = await find_click(session, click_id)
    if row is None or row.customer_id != customer_id:
        raise unknown_click()
    return row.receipt


async def find_click(session: ReadSession, click_id: UUID) -> ClickRow | None:
    """Reads one partition: a click's time is in its id. An id that we did not make finds nothing."""
    try:
        clicked_at = time_of(click_id)
    except (ValueError, OverflowError):
        return None
    return await session.scalar(select(ClickRow).where(ClickRow.id == click_id, ClickRow.clicked_at == clicked_at))


async def ensure_partitions(session: WriteSession) -> int:
    """Makes the tables of the coming months; returns how many were missing."""
    made = await session.scalar(text("SELECT ensure_click_partitions(:months)"), {"months": PARTITION_MONTHS_AHEAD})
    return int(made)
