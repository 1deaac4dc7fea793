"""Which entries each step of a sale makes. Every one has the sale's id in its cause, so that it happens once."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from domains.cashback.models import ConversionRow, RewardRow
from domains.cashback.service import ledger
from domains.cashback.service.ledger import Entry, Posting, transfer
from domains.cashback.states import RewardState
from wapsi.db import WriteSession

SOURCE = "conversion"


@dataclass(frozen=True, slots=True)
class Sale:
    """A sale, what the customer earns by it (None where it is unattributed), and the names of its accounts."""

    conversion: ConversionRow
    reward: RewardRow | None
    merchant: str
    receivable: str

    @property
    def customer_id(self) -> UUID:
        assert self.reward is not None
        return self.reward.customer_id

    @property
    def reward_minor(self) -> int:
        return 0 if self.reward is None else self.reward.amount_minor

    @property
    def paid_to(self) -> str:
        """The account that the reward lies in: a held one is not available, even if it was confirmed before."""
        assert self.reward is not None
        if self.reward.state == RewardState.CONFIRMED:
            return ledger.customer_available(self.customer_id)
        return ledger.customer_pending(self.customer_id)


async def post_first(session: WriteSession, sale: Sale) -> None:
    """Books a new sale: pending, or as unattributed commission. The posting becomes the sale's own."""
    if sale.reward is None:
        entries = _owed(sale, ledger.unattributed(sale.receivable), sale.conversion.commission_minor)
        posting = _posting(sale, "conversion.unattributed", "Commission for a sale that no click explains", entries)
    else:
        entries = _owed(sale, ledger.commission(sale.merchant), sale.conversion.commission_minor)
        entries += transfer(ledger.cashback(sale.merchant), sale.paid_to, sale.reward_minor)
        posting = _posting(
            sale, "conversion.pending", f"Sale at {sale.merchant}, awaiting the merchant's decision", entries
        )
    sale.conversion.posting_id = await _post(session, posting)


async def post_attributed(session: WriteSession, sale: Sale) -> None:
    """A sale that had no click has one now: its commission becomes income, and the customer's share is booked."""
    entries = transfer(
        ledger.unattributed(sale.receivable), ledger.commission(sale.merchant), sale.conversion.commission_minor
    )
    entries += transfer(ledger.cashback(sale.merchant), sale.paid_to, sale.reward_minor)
    posting = _posting(
        sale,
        "conversion.attributed",
        f"Sale at {sale.merchant}, attributed",
        entries,
        resolves_id=sale.conversion.posting_id,
    )
    sale.conversion.posting_id = await _post(session, posting) or sale.conversion.posting_id


async def post_confirmed(session: WriteSession, sale: Sale) -> None:
    """Pending cashback becomes available; what the customer owes us is kept back from it."""
    balances = await ledger.lock_customer(session, sale.customer_id, sale.conversion.currency)
    debt = ledger.customer_debt(sale.customer_id)
    kept_minor = min(sale.reward_minor, balances.get(debt, 0))
    pending = ledger.customer_pending(sale.customer_id)
    entries = transfer(pending, ledger.customer_available(sale.customer_id), sale.reward_minor - kept_minor)
    entries += transfer(pending, debt, kept_minor)
    words = f"Cashback for {sale.merchant} confirmed"
    posting = _posting(sale, "reward.confirmed", words, entries, resolves_id=sale.conversion.posting_id)
    await _post(session, posting)


async def post_declined(session: WriteSession, sale: Sale) -> None:
    """Takes back all that was booked for a sale that was still pending, or unattributed."""
    if sale.reward is None:
        entries = _owed(sale, ledger.unattributed(sale.receivable), -sale.conversion.commission_minor)
    else:
        entries = _owed(sale, ledger.commission(sale.merchant), -sale.conversion.commission_minor)
        entries += transfer(sale.paid_to, ledger.cashback(sale.merchant), sale.reward_minor)
    posting = _posting(
        sale,
        "conversion.declined",
        f"Sale at {sale.merchant} declined",
        entries,
        resolves_id=sale.conversion.posting_id,
    )
    await _post(session, posting)


async def post_reversed(session: WriteSession, sale: Sale) -> None:
    """Takes back confirmed cashback: from the balance what is there, the rest is owed by the customer."""
    entries = _owed(sale, ledger.commission(sale.merchant), -sale.conversion.commission_minor)
    entries += await _taken_back(session, sale, sale.reward_minor)
    posting = _posting(
        sale,
        "conversion.reversed",
        f"Sale at {sale.merchant} reversed",
        entries,
        reverses_id=sale.conversion.posting_id,
    )
    await _post(session, posting)


async def post_settled(session: WriteSession, sale: Sale) -> None:
    conversion = sale.conversion
    bank, receivable = ledger.bank(conversion.currency), ledger.receivable(sale.receivable)
    entries = transfer(bank, receivable, conversion.commission_minor)
    await _post(session, _posting(sale, "conversion.settled", f"Commission received from {sale.receivable}", entries))


async def post_amended(
    session: WriteSession, sale: Sale, adjustment_id: UUID, commission_change_minor: int, reward_change_minor: int
) -> UUID | None:
    """Books the difference only; the sale and the reward still have the amounts before. None where there is none."""
    income = ledger.unattributed(sale.receivable) if sale.reward is None else ledger.commission(sale.merchant)
    entries = _owed(sale, income, commission_change_minor)
    if reward_change_minor > 0:
        entries += transfer(ledger.cashback(sale.merchant), sale.paid_to, reward_change_minor)
    elif reward_change_minor < 0:
        entries += await _taken_back(session, sale, -reward_change_minor)
    posting = _posting(
        sale,
        "conversion.amended",
        f"Sale at {sale.merchant} amended",
        entries,
        occurrence=adjustment_id,
        amends_id=sale.conversion.posting_id,
    )
    return await _post(session, posting)


async def post_hold(session: WriteSession, sale: Sale, change_id: UUID, *, release: bool) -> None:
    """Moves confirmed cashback out of reach, or back. Raises InsufficientBalance where it has been withdrawn."""
    pending, available = ledger.customer_pending(sale.customer_id), ledger.customer_available(sale.customer_id)
    entries = transfer(pending, available, sale.reward_minor if release else -sale.reward_minor)
    step = "released" if release else "held"
    words = f"Cashback for {sale.merchant} {step}"
    await _post(session, _posting(sale, f"reward.{step}", words, entries, occurrence=change_id))


async def _taken_back(session: WriteSession, sale: Sale, amount_minor: int) -> list[Entry]:
    expense = ledger.cashback(sale.merchant)
    balances: Mapping[str, int] = await ledger.lock_customer(session, sale.customer_id, sale.conversion.currency)
    covered_minor = min(amount_minor, balances.get(sale.paid_to, 0))
    entries = transfer(sale.paid_to, expense, covered_minor)
    return entries + transfer(ledger.customer_debt(sale.customer_id), expense, amount_minor - covered_minor)


def _owed(sale: Sale, income: str, amount_minor: int) -> list[Entry]:
    return transfer(ledger.receivable(sale.receivable), income, amount_minor)


def _posting(
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
    )


async def _post(session: WriteSession, posting: Posting) -> UUID | None:
    """None where nothing is to be moved: a sale without commission and cashback books nothing."""
    return await ledger.post(session, posting) if posting.entries else None
