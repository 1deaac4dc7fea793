"""What one event, or one decision, is going to write. A draft that is dropped has changed nothing."""

from collections.abc import Collection, Mapping
from uuid import UUID

from domains.cashback.service import ledger
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import Posting
from domains.cashback.service.records import Adjustment, Change
from domains.cashback.states import Entity

# {(account, currency): balance on its normal side}
Balances = Mapping[tuple[str, str], int]


class Draft:
    """`balances` are those of `customers`, locked; a customer that is not among them is asked for in vain.

    `trace_id` is the one of the request that brought the event.
    """

    def __init__(self, balances: Balances, customers: Collection[UUID], trace_id: str | None) -> None:
        self._balances = balances
        self._customers = customers
        self.trace_id = trace_id
        self.moved: dict[tuple[str, str], int] = {}
        self.postings: list[Posting] = []
        self.changes: list[Change] = []
        self.adjustments: list[Adjustment] = []

    def balance(self, customer_id: UUID, account: str, currency: str) -> int:
        """Of a customer's own account, with what this draft has posted already."""
        assert customer_id in self._customers, "a balance that is not locked tells nothing"
        return self._balances.get((account, currency), 0) + self.moved.get((account, currency), 0)

    def post(self, posting: Posting) -> None:
        ledger.check(posting)
        self.postings.append(posting)
        for entry in posting.entries:
            side = ledger.side_of_customer(entry.account)
            if side:
                key = (entry.account, posting.currency)
                self.moved[key] = self.moved.get(key, 0) + side * entry.amount_minor

    def record(self, entity: Entity, entity_id: UUID, from_state: str | None, to_state: str, cause: Cause) -> None:
        detail = {"words": cause.words} if cause.words else {}
        self.changes.append(
            Change(
                entity,
                entity_id,
                from_state,
                to_state,
                cause.reason_code,
                cause.actor,
                cause.event_id,
                detail,
                self.trace_id,
            )
        )
