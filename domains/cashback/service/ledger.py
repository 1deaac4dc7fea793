"""The ledger: double entry, integer minor units, one database round trip for any number of postings.

Debits are positive, credits negative. A posting that is refused leaves nothing behind.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import asyncpg
from opentelemetry import metrics
from sqlalchemy import text

from domains.cashback.errors import InsufficientBalance, PostedAlready, PostingInvalid, ResolvedAlready
from wapsi.db import ReadSession, WriteSession
from wapsi.db.arrays import Element, array
from wapsi.errors import DomainError
from wapsi.ids import new_id
from wapsi.telemetry.setup import current_trace_id

_posted = metrics.get_meter(__name__).create_counter(
    "wapsi.ledger.transactions",
    unit="{transaction}",
    description="Postings by kind; one whose unit of work is rolled back afterwards is counted too.",
)

PAYOUTS_IN_FLIGHT = "liabilities:payouts:in_flight"
BONUS = "expenses:bonus"
GOODWILL = "expenses:goodwill"
# What we cannot collect, or do not.
BAD_DEBT = "expenses:bad_debt"


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


def side_of_customer(account: str) -> int:
    """What an amount does to the balance of a customer's own account: 1 for a debit side, -1; 0 for shared accounts."""
    if account.startswith("liabilities:customer:"):
        return -1
    return 1 if account.startswith("assets:receivable:customer:") else 0


class Entry(NamedTuple):
    account: str
    amount_minor: int


def transfer(debit: str, credit: str, amount_minor: int) -> list[Entry]:
    """The two entries that move an amount; none for zero, and the other way round for a negative one."""
    if amount_minor == 0:
        return []
    return [Entry(debit, amount_minor), Entry(credit, -amount_minor)]


@dataclass(slots=True)
class Posting:
    """Nothing changes one that was made; frozen it would take three times as long to make.

    `kind` says what happened; `source` and `external_id` name its cause, which is posted once for ever.

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
    trace_id: str | None = field(default_factory=current_trace_id)
    id: UUID = field(default_factory=new_id)


# What post_ledger_transactions is called with.
_PARAMETERS = ("uuid", *("text",) * 5, *("uuid",) * 3, *("text",) * 2, "integer", "integer", "bigint", "text")
PARAMETERS = len(_PARAMETERS)


def parameters(first: int) -> str:
    """Those of a statement from the number `first` on."""
    return ", ".join(f"${number}::text::{kind}[]" for number, kind in enumerate(_PARAMETERS, start=first))


_POST = f"SELECT posting, fault, detail FROM post_ledger_transactions({parameters(1)})"  # noqa: S608


async def post(session: WriteSession, posting: Posting) -> UUID:
    """Returns the ledger transaction's id. Raises InsufficientBalance, PostedAlready, ResolvedAlready and
    PostingInvalid, and then has written nothing."""
    check(posting)
    # What the ORM still holds back must be there before a function looks for it.
    await session.flush()
    [fault] = await post_many(await session.driver(), [posting])
    if fault is not None:
        raise fault
    return posting.id


async def post_many(driver: asyncpg.Connection, postings: Sequence[Posting]) -> list[DomainError | None]:
    """Writes them in order, in one round trip, and says of each why it was refused: None, or InsufficientBalance,
    PostedAlready or ResolvedAlready. One that is refused leaves nothing, and does not keep the others from being
    posted. Each must have passed `check`."""
    faults: list[DomainError | None] = [None] * len(postings)
    refused = await driver.fetch(_POST, *arguments(postings))
    for position, fault, detail in refused:
        faults[position - 1] = _in_words(fault, detail, postings[position - 1])
    count(posting for posting, fault in zip(postings, faults, strict=True) if fault is None)
    return faults


def arguments(postings: Sequence[Posting]) -> list[str]:
    """For `parameters`: a column each. Accounts are named once, entries have their numbers."""
    accounts: dict[tuple[str, str], int] = {}
    positions, numbers, amounts, currencies = [], [], [], []
    for position, posting in enumerate(postings, start=1):
        currency = posting.currency
        for account, amount_minor in posting.entries:
            numbers.append(accounts.setdefault((account, currency), len(accounts) + 1))
            amounts.append(amount_minor)
        lines = len(posting.entries)
        positions += [position] * lines
        currencies += [currency] * lines
    columns: list[Sequence[Element]] = [
        [posting.id for posting in postings],
        [posting.kind for posting in postings],
        [posting.source for posting in postings],
        [posting.external_id for posting in postings],
        [posting.description for posting in postings],
        [posting.trace_id for posting in postings],
        [posting.resolves_id for posting in postings],
        [posting.reverses_id for posting in postings],
        [posting.amends_id for posting in postings],
        [path for path, _ in accounts],
        [currency for _, currency in accounts],
        positions,
        numbers,
        amounts,
        currencies,
    ]
    return [array(values) for values in columns]


def count(postings: Iterable[Posting]) -> None:
    """Those that were written, by kind."""
    for kind, number in Counter(posting.kind for posting in postings).items():
        _posted.add(number, {"kind": kind})


def check(posting: Posting) -> None:
    """Raises PostingInvalid."""
    whole, sum_minor = bool(posting.entries), 0
    for _, amount_minor in posting.entries:
        # A bool is an int to Python, and a float that happens to be whole is still a float.
        whole = whole and type(amount_minor) is int and amount_minor != 0
        sum_minor += amount_minor
    if not whole or sum_minor != 0:
        raise PostingInvalid(
            f"The posting {posting.kind} {posting.external_id} must balance in whole amounts other than zero.",
            kind=posting.kind,
        )


def _in_words(fault: str, detail: str, posting: Posting) -> DomainError:
    cause = f"{posting.source} {posting.external_id}"
    if fault == "POSTED_ALREADY":
        return PostedAlready(f"{cause} is posted already.", cause=cause)
    if fault == "INSUFFICIENT_BALANCE":
        return InsufficientBalance("The balance does not cover this amount.", account=detail, cause=cause)
    return ResolvedAlready("The pending posting was confirmed or declined before.", cause=cause)


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


# First of all: before a posting makes an account that another is about to make, or locks one that another waits for.
_LOCK = """SELECT count(pg_advisory_xact_lock(hashtextextended(id::text, 0))::text)
    FROM (SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id) AS customers"""
# Materialised, and then the balances by their keys: the planner has no chance to walk all of a table.
_BALANCES = """WITH own AS MATERIALIZED (
        SELECT id, path, currency FROM ledger_accounts WHERE customer_id = ANY($1))
    SELECT a.path, a.currency, b.balance_minor FROM (SELECT * FROM own ORDER BY path DESC, id) AS a
    CROSS JOIN LATERAL (SELECT balance_minor FROM ledger_balances WHERE account_id = a.id FOR UPDATE) AS b"""


async def lock_customers(driver: asyncpg.Connection, customer_ids: Collection[UUID]) -> None:
    """Of those who post for one customer with what they read before, one follows the other, always in one order."""
    if customer_ids:
        await driver.execute(_LOCK, list(customer_ids))


async def locked_balances(driver: asyncpg.Connection, customer_ids: Collection[UUID]) -> dict[tuple[str, str], int]:
    """{(account, currency): balance} of customers' own accounts, which nobody else changes before this transaction
    ends. Locked in the order in which postings lock them."""
    await lock_customers(driver, customer_ids)
    if not customer_ids:
        return {}
    return {(row[0], row[1]): row[2] for row in await driver.fetch(_BALANCES, list(customer_ids))}
