"""Money of customers who have left: what they gave up, and what became theirs or ours after they had gone.

Entries stay as they are; a posting moves what is left. Cashback that is pending stays pending: the merchant still
decides on the sale, and what is confirmed then is moved by the next sweep, as is what is taken back.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select, text

from domains.cashback.errors import BalanceNotEmpty, PayoutUnderWay
from domains.cashback.models import ForfeitureRow, PayoutRow
from domains.cashback.service import ledger
from domains.cashback.service.books import Bucket
from domains.cashback.service.ledger import Posting, locked_balances, transfer
from domains.cashback.states import PAYOUTS_IN_FLIGHT
from domains.customers import service as customers
from wapsi.db import Database, WriteSession
from wapsi.ids import new_id
from wapsi.money import Money, format_money

log = structlog.get_logger(__name__)

SOURCE = "forfeiture"
# What a customer may have to collect is no longer to be paid: other income.
FORFEITED = "income:forfeited"

_LEFT = text(
    "SELECT DISTINCT a.customer_id FROM ledger_accounts a JOIN ledger_balances b ON b.account_id = a.id"
    r" WHERE a.customer_id = ANY(:ids) AND b.balance_minor > 0 AND a.path NOT LIKE '%\:pending'"
)


async def settle(session: WriteSession, customer_id: UUID, *, forfeit: bool) -> Mapping[str, Any]:
    """Before an account goes. Locks its balances, so that no payout comes in between.

    Raises PayoutUnderWay, and BalanceNotEmpty unless the customer gives up what is left.
    """
    balances = await locked_balances(await session.driver(), [customer_id])
    under_way = await session.scalar(
        select(PayoutRow.id)
        .where(PayoutRow.customer_id == customer_id, PayoutRow.state.in_(list(PAYOUTS_IN_FLIGHT)))
        .limit(1)
    )
    if under_way is not None:
        raise PayoutUnderWay(
            "A payout is under way. Delete the account when it has arrived, or cancel it first.",
            payout_id=str(under_way),
        )
    left: dict[str, int] = {}
    for (account, currency), minor in balances.items():
        if ledger.side_of_customer(account) < 0 and minor > 0:
            left[currency] = left.get(currency, 0) + minor
    if left and not forfeit:
        words = ", ".join(format_money(Money(minor, currency)) for currency, minor in sorted(left.items()))
        raise BalanceNotEmpty(
            f"There is cashback of {words} on this account, pending included. Withdraw it first, or send forfeit as"
            " true to give it up."
        )
    return {"forfeited_minor": await _empty(session, customer_id, balances)}


async def empty_accounts(db: Database) -> int:
    """Moves what has come to accounts of customers who have left; returns how many had something."""
    after, emptied = UUID(int=0), 0
    while True:
        async with db.read() as reading:
            ids = await customers.erased_customers(reading, after)
            if not ids:
                return emptied
            left = (await reading.scalars(_LEFT, {"ids": list(ids)})).all()
        for customer_id in left:
            async with db.write() as session:
                balances = await locked_balances(await session.driver(), [customer_id])
                moved = await _empty(session, customer_id, balances)
            log.info("account_of_deleted_customer_emptied", customer_id=str(customer_id), **moved)
            emptied += 1
        after = ids[-1]


async def _empty(session: WriteSession, customer_id: UUID, balances: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """{currency: what was available}. The balances are locked."""
    moved: dict[str, int] = {}
    for (account, currency), minor in balances.items():
        if minor == 0 or account == ledger.customer_pending(customer_id):
            continue
        row = ForfeitureRow(id=new_id(), customer_id=customer_id, amount_minor=minor, currency=currency)
        if account == ledger.customer_available(customer_id):
            row.bucket, words = Bucket.AVAILABLE, "Cashback forfeited: the account was deleted"
            entries = transfer(account, FORFEITED, minor)
            moved[currency] = minor
        else:
            row.bucket, words = Bucket.OWED, "Debt written off: the account was deleted"
            entries = transfer(ledger.BAD_DEBT, account, minor)
        row.transaction_id = await ledger.post(
            session,
            Posting(
                kind=f"forfeiture.{row.bucket}",
                source=SOURCE,
                external_id=str(row.id),
                description=words,
                currency=currency,
                entries=entries,
            ),
        )
        session.add(row)
    await session.flush()
    return moved
