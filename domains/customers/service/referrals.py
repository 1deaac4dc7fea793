"""Referrals: a code for friends, and how many of them came. Who they are is their own business."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import func, select

from domains.customers.errors import CustomerNotFound
from domains.customers.models import CustomerRow, CustomerStatus
from wapsi.config import Settings
from wapsi.db import ReadSession

MONTHS_SHOWN = 24


@dataclass(frozen=True, slots=True)
class Referrals:
    """`joined_by_month`: {"2026-11": friends who signed up then}, the newest first and at most MONTHS_SHOWN."""

    code: str
    link: str
    joined: int
    joined_by_month: Mapping[str, int]


async def referrals_of(session: ReadSession, settings: Settings, customer_id: UUID) -> Referrals:
    """Raises CustomerNotFound."""
    customer = await session.get(CustomerRow, customer_id)
    if customer is None or customer.status == CustomerStatus.DELETED:
        raise CustomerNotFound("There is no such customer.", customer_id=str(customer_id))
    month = func.to_char(func.timezone("UTC", CustomerRow.created_at), "YYYY-MM")
    rows = await session.execute(
        select(month.label("month"), func.count().label("joined"))
        .where(CustomerRow.referred_by == customer_id)
        .group_by(month)
        .order_by(month.desc())
    )
    by_month = {row["month"]: int(row["joined"]) for row in rows.mappings()}
    return Referrals(
        customer.referral_code,
        f"{settings.sign_up_page}?{urlencode({'referral_code': customer.referral_code})}",
        sum(by_month.values()),
        dict(list(by_month.items())[:MONTHS_SHOWN]),
    )
