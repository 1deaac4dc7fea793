"""Which entries each step of a sale makes. Every one has the sale's id in its cause, so that it happens once."""

from dataclasses import dataclass
from uuid import UUID

from domains.cashback.service import ledger
from domains.cashback.service.drafts import Draft
from domains.cashback.service.ledger import Entry, Posting, transfer
from domains.cashback.service.records import Conversion, Reward
from domains.cashback.states import REWARDS_GONE, RewardState
from domains.merchants.service import ClawbackTerms

SOURCE = "conversion"


@dataclass(slots=True)
class Sale:
    """A sale, what the customer earns by it (None where it is unattributed), and the names of its accounts."""

    conversion: Conversion
    reward: Reward | None
    merchant: str
    receivable: str

    @property
    def customer_id(self) -> UUID:
        assert self.reward is not None
        return self.reward.customer_id

    @property
    def earns(self) -> bool:
        """Whether there is a reward that follows the sale: not where no click explains it, nor where it is gone."""
        return self.reward is not None and self.reward.state not in REWARDS_GONE

    @property
    def reward_minor(self) -> int:
        return self.reward.amount_minor if self.reward is not None and self.earns else 0

    @property
    def paid_to(self) -> str:
        """The account that the reward lies in: a held one is not available, even if it was confirmed before."""
        assert self.reward is not None
        if self.reward.state == RewardState.CONFIRMED:
            return ledger.customer_available(self.customer_id)
        return ledger.customer_pending(self.customer_id)


def post_first(draft: Draft, sale: Sale) -> None:
    """Books a new sale: pending, or as unattributed commission. The posting becomes the sale's own."""
    if sale.reward is None:
        entries = _owed(sale, ledger.unattributed(sale.receivable), sale.conversion.commission_minor)
        posting = _posting(
            draft, sale, "conversion.unattributed", "Commission for a sale that no click explains", entries
        )
    else:
        entries = _owed(sale, ledger.commission(sale.merchant), sale.conversion.commission_minor)
        entries += transfer(ledger.cashback(sale.merchant), sale.paid_to, sale.reward_minor)
        posting = _posting(
            draft, sale, "conversion.pending", f"Sale at {sale.merchant}, awaiting the merchant's decision", entries
        )
    sale.conversion.posting_id = _post(draft, posting)


def post_attributed(draft: Draft, sale: Sale) -> None:
    """A sale that had no click has one now: its commission becomes income, and the customer's share is booked."""
    entries = transfer(
        ledger.unattributed(sale.receivable), ledger.commission(sale.merchant), sale.conversion.commission_minor
    )
    entries += transfer(ledger.cashback(sale.merchant), sale.paid_to, sale.reward_minor)
    posting = _posting(
        draft,
        sale,
        "conversion.attributed",
        f"Sale at {sale.merchant}, attributed",
        entries,
        resolves_id=sale.conversion.posting_id,
    )
    sale.conversion.posting_id = _post(draft, posting) or sale.conversion.posting_id


def post_confirmed(draft: Draft, sale: Sale) -> None:
    """Pending cashback becomes available; what the customer owes us is kept back from it."""
    debt = ledger.customer_debt(sale.customer_id)
    kept_minor = min(sale.reward_minor, draft.balance(sale.customer_id, debt, sale.conversion.currency))
    pending = ledger.customer_pending(sale.customer_id)
    entries = transfer(pending, ledger.customer_available(sale.customer_id), sale.reward_minor - kept_minor)
    entries += transfer(pending, debt, kept_minor)
    words = f"Cashback for {sale.merchant} confirmed"
    posting = _posting(draft, sale, "reward.confirmed", words, entries, resolves_id=sale.conversion.posting_id)
    _post(draft, posting)


def post_declined(draft: Draft, sale: Sale) -> None:
    """Takes back all that was booked for a sale that was still pending, or unattributed."""
    if sale.reward is None:
        entries = _owed(sale, ledger.unattributed(sale.receivable), -sale.conversion.commission_minor)
    else:
        entries = _owed(sale, ledger.commission(sale.merchant), -sale.conversion.commission_minor)
        entries += transfer(sale.paid_to, ledger.cashback(sale.merchant), sale.reward_minor)
    posting = _posting(
        draft,
        sale,
        "conversion.declined",
        f"Sale at {sale.merchant} declined",
        entries,
        resolves_id=sale.conversion.posting_id,
    )
    _post(draft, posting)


def post_reversed(draft: Draft, sale: Sale) -> None:
    """Takes back confirmed cashback: from the balance what is there, the rest by the terms of the receipt."""
    entries = _owed(sale, ledger.commission(sale.merchant), -sale.conversion.commission_minor)
    if sale.earns:
        entries += _taken_back(draft, sale, sale.reward_minor)
    posting = _posting(
        draft,
        sale,
        "conversion.reversed",
        f"Sale at {sale.merchant} reversed",
        entries,
        reverses_id=sale.conversion.posting_id,
    )
    _post(draft, posting)


def post_settled(draft: Draft, sale: Sale) -> None:
    conversion = sale.conversion
    bank, receivable = ledger.bank(conversion.currency), ledger.receivable(sale.receivable)
    entries = transfer(bank, receivable, conversion.commission_minor)
    _post(draft, _posting(draft, sale, "conversion.settled", f"Commission received from {sale.receivable}", entries))


def post_amended(
    draft: Draft, sale: Sale, adjustment_id: UUID, commission_change_minor: int, reward_change_minor: int
) -> UUID | None:
    """Books the difference only; the sale and the reward still have the amounts before. None where there is none."""
    income = ledger.unattributed(sale.receivable) if sale.reward is None else ledger.commission(sale.merchant)
    entries = _owed(sale, income, commission_change_minor)
    if reward_change_minor > 0:
        entries += _given(draft, sale, reward_change_minor)
    elif reward_change_minor < 0:
        entries += _taken_back(draft, sale, -reward_change_minor)
    posting = _posting(
        draft,
        sale,
        "conversion.amended",
        f"Sale at {sale.merchant} amended",
        entries,
        occurrence=adjustment_id,
        amends_id=sale.conversion.posting_id,
    )
    return _post(draft, posting)


def post_hold(draft: Draft, sale: Sale, change_id: UUID, *, release: bool) -> None:
    """Moves confirmed cashback out of reach, or back. Refused at the end of the draft where it has been withdrawn."""
    pending, available = ledger.customer_pending(sale.customer_id), ledger.customer_available(sale.customer_id)
    entries = transfer(pending, available, sale.reward_minor if release else -sale.reward_minor)
    step = "released" if release else "held"
    words = f"Cashback for {sale.merchant} {step}"
    _post(draft, _posting(draft, sale, f"reward.{step}", words, entries, occurrence=change_id))


def post_withheld(draft: Draft, sale: Sale) -> None:
    """Held cashback is not given after all; the sale, and our commission for it, stay as they are."""
    entries = transfer(sale.paid_to, ledger.cashback(sale.merchant), sale.reward_minor)
    words = f"Cashback for {sale.merchant} withheld"
    posting = _posting(draft, sale, "reward.withheld", words, entries, amends_id=sale.conversion.posting_id)
    _post(draft, posting)


def _given(draft: Draft, sale: Sale, amount_minor: int) -> list[Entry]:
    """More cashback. What was waived of it before the customer has already, and what they owe us is kept back."""
    expense = ledger.cashback(sale.merchant)
    assert sale.reward is not None
    had_minor = min(amount_minor, sale.reward.waived_minor)
    sale.reward.waived_minor -= had_minor
    kept_minor = 0
    debt = ledger.customer_debt(sale.customer_id)
    if sale.reward.state == RewardState.CONFIRMED:
        kept_minor = min(amount_minor - had_minor, draft.balance(sale.customer_id, debt, sale.conversion.currency))
    entries = transfer(expense, ledger.BAD_DEBT, had_minor) + transfer(expense, debt, kept_minor)
    return entries + transfer(expense, sale.paid_to, amount_minor - had_minor - kept_minor)


def _taken_back(draft: Draft, sale: Sale, amount_minor: int) -> list[Entry]:
    expense = ledger.cashback(sale.merchant)
    covered_minor = min(amount_minor, draft.balance(sale.customer_id, sale.paid_to, sale.conversion.currency))
    entries = transfer(sale.paid_to, expense, covered_minor)
    missing_minor = amount_minor - covered_minor
    assert sale.reward is not None
    if sale.reward.clawback == ClawbackTerms.WAIVED:
        sale.reward.waived_minor += missing_minor
        return entries + transfer(ledger.BAD_DEBT, expense, missing_minor)
    return entries + transfer(ledger.customer_debt(sale.customer_id), expense, missing_minor)


def _owed(sale: Sale, income: str, amount_minor: int) -> list[Entry]:
    return transfer(ledger.receivable(sale.receivable), income, amount_minor)


def _posting(
    draft: Draft,
    sale: Sale,
    kind: str,
    description: str,
    entries: list[Entry],
    *,
    occurrence: UUID | None = None,
    resolves_id: UUID | None = None,
    amends_id: UUID | None = None,
    reverses_id: UUID | None = None,
) -> Posting:
    """`kind` happens once a sale, or, where it can happen again, once an `occurrence`."""
    step = kind.partition(".")[2]
    return Posting(
        kind=kind,
        source=SOURCE,
        external_id=f"{sale.conversion.id}:{step}" + ("" if occurrence is None else f":{occurrence}"),
        description=description,
        currency=sale.conversion.currency,
        entries=entries,
        resolves_id=resolves_id,
        amends_id=amends_id,
        reverses_id=reverses_id,
        trace_id=draft.trace_id,
    )


def _post(draft: Draft, posting: Posting) -> UUID | None:
    """None where nothing is to be moved: a sale without commission and cashback books nothing."""
    if not posting.entries:
        return None
    draft.post(posting)
    return posting.id
