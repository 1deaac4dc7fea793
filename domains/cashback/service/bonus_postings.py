"""Which entries each step of a bonus makes. Every one has the bonus's id in its cause, so that it happens once."""

from uuid import UUID

from domains.cashback.models import BonusRow
from domains.cashback.service import ledger
from domains.cashback.service.drafts import Draft
from domains.cashback.service.ledger import Entry, Posting, transfer

SOURCE = "bonus"


def post_pending(draft: Draft, row: BonusRow, rule: str) -> None:
    entries = transfer(ledger.BONUS, ledger.customer_pending(row.customer_id), row.amount_minor)
    row.posting_id = _post(draft, row, "pending", f"Bonus “{rule}”, not available yet", entries)


def post_confirmed(draft: Draft, row: BonusRow) -> None:
    """Makes it available; what the customer owes us is kept back from it."""
    debt = ledger.customer_debt(row.customer_id)
    kept_minor = min(row.amount_minor, draft.balance(row.customer_id, debt, row.currency))
    pending = ledger.customer_pending(row.customer_id)
    entries = transfer(pending, ledger.customer_available(row.customer_id), row.amount_minor - kept_minor)
    entries += transfer(pending, debt, kept_minor)
    _post(draft, row, "confirmed", "Bonus confirmed", entries, resolves_id=row.posting_id)


def post_declined(draft: Draft, row: BonusRow) -> None:
    entries = transfer(ledger.customer_pending(row.customer_id), ledger.BONUS, row.amount_minor)
    _post(draft, row, "declined", "Bonus declined", entries, resolves_id=row.posting_id)


def post_reversed(draft: Draft, row: BonusRow) -> None:
    """Takes a confirmed one back: from the balance what is there, the rest is owed by the customer."""
    available = ledger.customer_available(row.customer_id)
    covered_minor = min(row.amount_minor, draft.balance(row.customer_id, available, row.currency))
    entries = transfer(available, ledger.BONUS, covered_minor)
    entries += transfer(ledger.customer_debt(row.customer_id), ledger.BONUS, row.amount_minor - covered_minor)
    _post(draft, row, "reversed", "Bonus taken back", entries, reverses_id=row.posting_id)


def _post(
    draft: Draft,
    row: BonusRow,
    step: str,
    description: str,
    entries: list[Entry],
    *,
    resolves_id: UUID | None = None,
    reverses_id: UUID | None = None,
) -> UUID:
    posting = Posting(
        kind=f"bonus.{step}",
        source=SOURCE,
        external_id=f"{row.id}:{step}",
        description=description,
        currency=row.currency,
        entries=entries,
        resolves_id=resolves_id,
        reverses_id=reverses_id,
        trace_id=draft.trace_id,
    )
    draft.post(posting)
    return posting.id
