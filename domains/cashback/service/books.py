"""Reading the ledger: a customer's balance and statement, and every account and posting for operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from domains.cashback.errors import TransactionNotFound
from wapsi.db import ReadSession


class Bucket(StrEnum):
    """The three accounts that a customer has in a currency. OWED is what the customer owes us."""

    PENDING = "pending"
    AVAILABLE = "available"
    OWED = "owed"


@dataclass(frozen=True, slots=True)
class Balance:
    """In one currency. `held_minor` is the part of pending that waits for a check, `in_flight_minor` is on its way
    to the customer, `paid_out_minor` has arrived."""

    currency: str
    pending_minor: int
    available_minor: int
    held_minor: int
    in_flight_minor: int
    paid_out_minor: int
    owed_minor: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One change of one of the customer's accounts: more is positive."""

    id: int
    at: datetime
    bucket: Bucket
    kind: str
    description: str
    amount_minor: int
    currency: str
    transaction_id: UUID


@dataclass(frozen=True, slots=True)
class AccountView:
    """`balance_minor` is on the account's normal side: debit for assets and expenses, else credit."""

    id: int
    path: str
    currency: str
    normal_side: str
    balance_minor: int
    entries: int


@dataclass(frozen=True, slots=True)
class EntryView:
    """A debit is positive, a credit negative."""

    account: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class TransactionView:
    id: UUID
    kind: str
    source: str
    external_id: str
    description: str
    posted_at: datetime
    trace_id: str | None
    resolves_id: UUID | None
    amends_id: UUID | None
    reverses_id: UUID | None
    entries: tuple[EntryView, ...]


async def list_accounts(
    session: ReadSession, *, limit: int, prefix: str = "", after: int | None = None
) -> list[AccountView]:
    """By id; `after` is the id of the last one seen, `prefix` the beginning of the path, such as "assets:"."""
    rows = await session.execute(
        text(
            "SELECT a.id, a.path, a.currency, a.normal_side, s.entries, coalesce(CASE a.normal_side"
            " WHEN 'debit' THEN s.balance ELSE -s.balance END, 0)::bigint AS balance_minor FROM ledger_accounts a"
            " CROSS JOIN LATERAL (SELECT count(*) AS entries, sum(e.amount_minor) AS balance FROM ledger_entries e"
            "  WHERE e.account_id = a.id) s"
            " WHERE a.id > coalesce(CAST(:after AS bigint), 0) AND starts_with(a.path, :prefix)"
            " ORDER BY a.id LIMIT :limit"
        ),
        {"after": after, "prefix": prefix, "limit": limit},
    )
    return [AccountView(**row) for row in rows.mappings()]


_SELECT = (
    "SELECT t.id, t.kind, t.source, t.external_id, t.description, t.posted_at, t.trace_id, t.resolves_id,"
    " t.amends_id, t.reverses_id, a.path, e.amount_minor, e.currency"
    " FROM ledger_transactions t JOIN ledger_entries e ON e.transaction_id = t.id"
    " JOIN ledger_accounts a ON a.id = e.account_id WHERE "
)
_BY_ID = text(_SELECT + "t.id = :id ORDER BY e.id")
# A range, so that the index on the cause finds them.
_BY_SALE = text(_SELECT + "t.source = 'conversion' AND t.external_id >= :first AND t.external_id < :last ORDER BY e.id")
_BY_BONUS = text(_SELECT + "t.source = 'bonus' AND t.external_id >= :first AND t.external_id < :last ORDER BY e.id")


async def get_transaction(session: ReadSession, transaction_id: UUID) -> TransactionView:
    """Raises TransactionNotFound."""
    found = await _transactions(session, _BY_ID, {"id": transaction_id})
    if not found:
        raise TransactionNotFound("There is no such ledger transaction.", transaction_id=str(transaction_id))
    return found[0]


async def transactions_of_sale(session: ReadSession, conversion_id: UUID) -> list[TransactionView]:
    """Every posting about a sale, in order."""
    return await _transactions(session, _BY_SALE, {"first": f"{conversion_id}:", "last": f"{conversion_id};"})


async def transactions_of_bonus(session: ReadSession, bonus_id: UUID) -> list[TransactionView]:
    """Every posting about a bonus, in order."""
    return await _transactions(session, _BY_BONUS, {"first": f"{bonus_id}:", "last": f"{bonus_id};"})


async def _transactions(
    session: ReadSession, query: TextClause, parameters: Mapping[str, Any]
) -> list[TransactionView]:
    rows = await session.execute(query, parameters)
    found: dict[UUID, tuple[dict[str, Any], list[EntryView]]] = {}
    for row in rows.mappings():
        fields = dict(row)
        entry = EntryView(fields.pop("path"), fields.pop("amount_minor"), fields.pop("currency"))
        found.setdefault(row["id"], (fields, []))[1].append(entry)
    return [TransactionView(**fields, entries=tuple(entries)) for fields, entries in found.values()]
