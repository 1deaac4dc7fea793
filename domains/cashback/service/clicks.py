"""Clicks: a customer's way out to a merchant, with the receipt of what was promised for it."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, text, update

from domains.cashback.errors import ClickTargetInvalid, CustomerNotActive, MerchantNotClickable
from domains.cashback.models import ClickRow
from domains.cashback.service import receipts
from domains.cashback.service.links import (
    check_landing_link,
    click_of_token,
    click_token,
    tracked_link,
    unknown_click,
)
from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers import service as offers
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id, time_of
from wapsi.runtime import Runtime
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import current_trace_id

# A second click on the same thing within this time is an impatient finger, not another visit.
DUPLICATE_WITHIN = timedelta(seconds=10)
PARTITION_MONTHS_AHEAD = 3
_USER_AGENT_LENGTH = 400
_BOT = re.compile(
    r"bot\b|crawl|spider|slurp|preview|scrap|headless|phantom|curl/|wget/|python-|httpx|go-http|java/|libwww", re.I
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class NewClick:
    """On an offer, or on a merchant as a whole. `link` says where to land, by default the offer's page."""

    offer_id: UUID | None = None
    merchant: str | None = None
    link: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Click:
    """`url` is the short link to follow, `receipt` the signed promise."""

    id: UUID
    url: str
    receipt: str


async def create_click(session: WriteSession, runtime: Runtime, customer_id: UUID, new: NewClick) -> Click:
    """Raises ClickTargetInvalid, CustomerNotActive, MerchantNotClickable, LandingLinkRefused and what the other
    domains raise for an unknown offer or merchant, or one without rates."""
    customer = await customers.get_customer(session, customer_id)
    if customer.status != customers.CustomerStatus.ACTIVE:
        raise CustomerNotActive("This account is not active.")
    merchant, offer = await _target(session, new)
    if merchant.status != merchants.MerchantStatus.ACTIVE or merchant.deep_link_template is None:
        raise MerchantNotClickable(f"{merchant.name} takes no visits at the moment.", merchant=merchant.slug)
    click_id = new_id()
    clicked_at = time_of(click_id)
    landing = check_landing_link(_landing_link(new, merchant, offer), merchant.allowed_landing_hosts)
    schedule = await merchants.rates_at(session, merchant.id, clicked_at)
    receipt = receipts.promise(click_id, customer_id, clicked_at, merchant, schedule, offer)
    signed = receipts.sign(runtime.keys, runtime.settings.public_url, receipt)
    offer_id = None if offer is None else offer.id
    row = ClickRow(
        id=click_id,
        clicked_at=clicked_at,
        customer_id=customer_id,
        merchant_id=merchant.id,
        offer_id=offer_id,
        currency=merchant.currency,
        landing_url=landing,
        target_url=tracked_link(merchant.deep_link_template, landing, click_id),
        rate_schedule_version=schedule.version,
        receipt=signed,
        user_agent=_CONTROL.sub(" ", new.user_agent)[:_USER_AGENT_LENGTH],
        bot=is_bot(new.user_agent),
        duplicate_of=await _duplicate(session, customer_id, merchant.id, offer_id, clicked_at),
        trace_id=current_trace_id(),
    )
    session.add(row)
    await session.flush()
    return Click(click_id, f"{runtime.settings.public_url}/r/{click_token(runtime.keys, click_id)}", signed)


def is_bot(user_agent: str) -> bool:
    """What calls itself a program. Only marked: a claim may still be about it."""
    return not user_agent.strip() or _BOT.search(user_agent) is not None


async def _target(session: ReadSession, new: NewClick) -> tuple[merchants.MerchantRef, offers.OfferRef | None]:
    if (new.offer_id is None) == (new.merchant is None):
        raise ClickTargetInvalid("Name either an offer_id or a merchant.")
    if new.offer_id is None:
        assert new.merchant is not None
        return await merchants.get_merchant(session, new.merchant, statuses=merchants.PUBLIC_STATUSES), None
    offer = await offers.get_offer(session, new.offer_id)
    return await merchants.get_merchant_by_id(session, offer.merchant_id), offer


def _landing_link(new: NewClick, merchant: merchants.MerchantRef, offer: offers.OfferRef | None) -> str:
    if new.link is not None:
        return new.link
    if offer is not None:
        return offer.link
    if not merchant.allowed_landing_hosts:
        raise MerchantNotClickable(f"{merchant.name} takes no visits at the moment.", merchant=merchant.slug)
    return f"https://{merchant.allowed_landing_hosts[0]}/"


async def _duplicate(
    session: ReadSession, customer_id: UUID, merchant_id: UUID, offer_id: UUID | None, clicked_at: datetime
) -> UUID | None:
    return await session.scalar(
        select(ClickRow.id)
        .where(
            ClickRow.customer_id == customer_id,
            ClickRow.clicked_at > clicked_at - DUPLICATE_WITHIN,
            ClickRow.clicked_at <= clicked_at,
            ClickRow.merchant_id == merchant_id,
            ClickRow.offer_id.is_not_distinct_from(offer_id),
        )
        .order_by(ClickRow.clicked_at.desc())
        .limit(1)
    )


async def follow(session: WriteSession, keys: Keys, token: str) -> str:
    """Where to send the browser; notes the first time. Raises ClickNotFound.

    A click past its window still leads on: the visitor wants to go there, only no cashback comes of it any more,
    which attribution decides.
    """
    click_id = click_of_token(keys, token)
    row = await find_click(session, click_id)
    if row is None:
        raise unknown_click()
    if row.redirected_at is None:
        await session.execute(
            update(ClickRow)
            .where(ClickRow.id == row.id, ClickRow.clicked_at == row.clicked_at, ClickRow.redirected_at.is_(None))
            .values(redirected_at=func.now())
            .execution_options(synchronize_session=False)
        )
    return row.target_url


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
