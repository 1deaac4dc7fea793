"""The ledger: double entry, integer minor units, one database round trip a posting.

Debits are positive, credits negative. A posting that fails leaves nothing behind: the transaction it ran in is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domains.cashback.errors import InsufficientBalance, PostedAlready, PostingInvalid, ResolvedAlready
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.telemetry.setup import current_trace_id

PAYOUTS_IN_FLIGHT = "liabilities:payouts:in_flight"


def bank(currency: str) -> str:
    return f"assets:bank:{currency.lower()}"


def receivable(source: str) -> str:
    """What a network, or a direct merchant, owes us."""
    return f"assets:receivable:{source}"


def customer_debt(customer_id: UUID) -> str:
    """What a customer owes us: cashback that was taken back after it had been paid out."""
    return f"assets:receivable:customer:{customer_id}"


def customer_pending(customer_id: UUID) -> str:
    return f"liabilities:customer:{customer_id}:pending"


def customer_available(customer_id: UUID) -> str:
    return f"liabilities:customer:{customer_id}:available"


def unattributed(source: str) -> str:
    return f"liabilities:unattributed:{source}"


def commission(merchant: str) -> str:
    return f"income:commission:{merchant}"


def cashback(merchant: str) -> str:
    return f"expenses:cashback:{merchant}"


@dataclass(frozen=True, slots=True)
class Entry:
    account: str
    amount_minor: int


def transfer(debit: str, credit: str, amount_minor: int) -> list[Entry]:
    """The two entries that move an amount; none for zero, and the other way round for a negative one."""
    if amount_minor == 0:
        return []
    return [Entry(debit, amount_minor), Entry(credit, -amount_minor)]


@dataclass(frozen=True, slots=True)
class Posting:
    """`kind` says what happened; `source` and `external_id` name its cause, which is posted once for ever.

    At most one reference: `resolves_id` settles a pending posting, `amends_id` corrects one, `reverses_id` takes
    one back.
    """

    kind: str
    source: str
    external_id: str
    description: str
    currency: str
    entries: Sequence[Entry]
    resolves_id: UUID | None = None
    amends_id: UUID | None = None
    reverses_id: UUID | None = None


_POST = text(
    "SELECT post_ledger_transaction(:id, :kind, :source, :external_id, :description, :trace_id,"
    " :resolves_id, :reverses_id, :amends_id, :paths, :currencies, :amounts_minor)"
)


async def post(session: WriteSession, posting: Posting) -> UUID:
    """Returns the ledger transaction's id. Raises InsufficientBalance, PostedAlready, ResolvedAlready and
    PostingInvalid; each ends the database transaction."""
    _check(posting)
    transaction_id = new_id()
    parameters = {
        "id": transaction_id,
        "kind": posting.kind,
        "source": posting.source,
        "external_id": posting.external_id,
        "description": posting.description,
        "trace_id": current_trace_id(),
        "resolves_id": posting.resolves_id,
        "reverses_id": posting.reverses_id,
        "amends_id": posting.amends_id,
        "paths": [entry.account for entry in posting.entries],
        "currencies": [posting.currency] * len(posting.entries),
        "amounts_minor": [entry.amount_minor for entry in posting.entries],
    }
    # What the ORM still holds back must be there before a function looks for it.
    await session.flush()
    try:
        await session.execute(_POST, parameters)
    except DBAPIError as error:
        known = _in_words(error, posting)
        if known is None:
            raise
        raise known from error
    return transaction_id


def _check(posting: Posting) -> None:
    amounts = [entry.amount_minor for entry in posting.entries]
    # A bool is an int to Python, and a float that happens to be whole is still a float.
    whole = all(type(amount) is int and amount != 0 for amount in amounts)
    if not amounts or not whole or sum(amounts) != 0:
        raise PostingInvalid(
            f"The posting {posting.kind} {posting.external_id} must balance in whole amounts other than zero.",
            kind=posting.kind,
        )


def _in_words(error: DBAPIError, posting: Posting) -> Exception | None:
    driver: Any = error.orig.__cause__ if error.orig is not None else None
    state = getattr(driver, "sqlstate", None)
    cause = f"{posting.source} {posting.external_id}"
    if state == "WL001":
        return PostedAlready(f"{cause} is posted already.", cause=cause)
    if state == "WL002":
        return InsufficientBalance("The balance does not cover this amount.", account=driver.detail, cause=cause)
    if state == "23505" and driver.constraint_name == "uq_ledger_transactions_resolves_id":
        return ResolvedAlready("The pending posting was confirmed or declined before.", cause=cause)
    return None


async def balance_minor(session: ReadSession, account: str, currency: str) -> int:
    """On the account's normal side; the sum of its entries, for shared and for customers' own accounts alike."""
    value = await session.scalar(
        text(
            "SELECT coalesce(sum(CASE a.normal_side WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END), 0)"
            "::bigint FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id"
            " WHERE a.path = :account AND a.currency = :currency"
        ),
        {"account": account, "currency": currency},
    )
    return int(value)


async def lock_customer(session: WriteSession, customer_id: UUID, currency: str) -> dict[str, int]:
    """{account: balance} of a customer's own accounts, which nobody else changes before this transaction ends.

    Locked in the order in which postings lock them.
    """
    rows = await session.execute(
        text(
            "SELECT a.path, b.balance_minor FROM ledger_balances b JOIN ledger_accounts a ON a.id = b.account_id"
            " WHERE a.customer_id = :customer_id AND a.currency = :currency ORDER BY a.path DESC, a.id FOR UPDATE OF b"
        ),
        {"customer_id": customer_id, "currency": currency},
    )
    return {row.path: row.balance_minor for row in rows}
