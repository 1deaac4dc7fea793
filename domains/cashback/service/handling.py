"""One event on its way into one sale: decided in memory, from what its group has loaded.

An event that is refused leaves only its inbox row: all that it would have written is a draft that is dropped.
"""

from collections.abc import Mapping
from copy import copy as copy_of
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from domains.cashback.errors import MerchantNotReportable
from domains.cashback.service import amendments, attribution, corrections, pricing, rewards
from domains.cashback.service.drafts import Balances, Draft
from domains.cashback.service.events import EventResult, SaleEvent, Source
from domains.cashback.service.history import Cause
from domains.cashback.service.loading import Clicks, Key
from domains.cashback.service.mappings import mapped
from domains.cashback.service.postings import Sale, post_attributed, post_first
from domains.cashback.service.records import Conversion, Event, Reward
from domains.cashback.service.refusals import Ignored, Refused
from domains.cashback.service.reports import Report
from domains.cashback.service.steps import advance, move_conversion
from domains.cashback.states import CONVERSION_STATES, ConversionState, Entity, EventOutcome
from domains.merchants.service.sellers import Seller
from wapsi.clock import now
from wapsi.ids import new_id

_C = ConversionState
_RANK = {_C.UNATTRIBUTED: 0, _C.PENDING: 0, _C.APPROVED: 1, _C.SETTLED: 2}


@dataclass(slots=True)
class Known:
    """What is known when a group begins; its events add to it one by one. `customers` have their balances loaded."""

    clicks: Clicks
    sellers: Mapping[str, Seller]
    sellers_by_id: Mapping[UUID, Seller]
    mappings: Mapping[str, tuple[int, dict[str, str]]]
    sales: dict[Key, tuple[Conversion, Reward | None]]
    balances: dict[tuple[str, str], int]
    customers: set[UUID]
    drafts: list[Draft] = field(default_factory=list)

    def take(self, key: Key, sale: Sale, draft: Draft) -> None:
        """From now on this is how the sale is."""
        self.sales[key] = (sale.conversion, sale.reward)
        self.drafts.append(draft)
        for account, change in draft.moved.items():
            self.balances[account] = self.balances.get(account, 0) + change


class Handling:
    """`event_id` is that of the inbox row."""

    def __init__(self, known: Known, source: Source, report: Report, event_id: UUID) -> None:
        self._known = known
        self._source = source
        self._report = report
        self._event_id = event_id
        self._conversion_id: UUID | None = None
        self._mapping_version: int | None = None
        balances: Balances = known.balances
        self._draft = Draft(balances, known.customers, report.trace_id)

    def result(self) -> EventResult:
        """Raises MerchantNotReportable; then nothing is to be stored."""
        event = self._report.event
        try:
            if event is None:
                raise Refused("EVENT_MALFORMED", f"The event could not be read: {self._report.fault}.")
            conversion_id = self._handle(event)
        except Refused as refusal:
            return EventResult(
                self._event_id, refusal.outcome, self._conversion_id, refusal.reason, refusal.message, repeated=False
            )
        return EventResult(self._event_id, EventOutcome.APPLIED, conversion_id, "", "", repeated=False)

    def row(self, result: EventResult) -> Event:
        report, event = self._report, self._report.event
        return Event(
            id=self._event_id,
            source=self._source.name,
            external_event_id=report.external_event_id,
            door=report.door,
            raw=report.raw,
            fields=orjson.Fragment("{}" if event is None else event.model_dump_json()),
            raw_status="" if event is None else event.status,
            mapping_version=self._mapping_version,
            outcome=result.outcome,
            error=result.reason or None,
            message=result.message or None,
            conversion_id=result.conversion_id,
            actor=report.actor,
            trace_id=report.trace_id,
        )

    def _handle(self, event: SaleEvent) -> UUID:
        """Returns the sale's id. Raises Refused and Ignored."""
        known = self._known
        key = (self._source.name, event.conversion_id)
        row, reward = known.sales.get(key, (None, None))
        self._conversion_id = None if row is None else row.id
        merchant = self._merchant(event, row)
        self._mapping_version, mapping = known.mappings[self._source.name]
        state = mapped(mapping, event.status)
        if event.amounts == "change":
            event, state = corrections.after_change(event, row)
        elif event.amounts == "first":
            event = corrections.as_it_began(event, row)
        if state is None:
            raise Refused(
                "UNKNOWN_STATUS",
                f"No mapping of {self._source.name} knows the word {event.status!r}; nothing was changed.",
                EventOutcome.UNKNOWN_STATUS,
            )
        currency = event.currency or merchant.currency
        if currency != (merchant.currency if row is None else row.currency):
            raise Refused("CURRENCY_MISMATCH", f"The sale is in {currency}, {merchant.slug} is in {merchant.currency}.")
        if row is None:
            sale = self._create(event, state, merchant)
        else:
            # A copy: what is refused on the way leaves the sale as it was.
            sale = self._sale(copy_of(row), None if reward is None else copy_of(reward), merchant)
            self._update(sale, event, state)
        self._note(sale.conversion, event, state)
        known.take(key, sale, self._draft)
        return sale.conversion.id

    def _note(self, row: Conversion, event: SaleEvent, state: ConversionState) -> None:
        if event.amounts != "change":
            row.raw_status = event.status
            row.network_state = state
            row.mapping_version = self._mapping_version
        row.last_event_at = event.occurred_at
        row.occurred_at = min(row.occurred_at, event.occurred_at)
        row.network_reason = event.reason or row.network_reason
        row.updated_at = now()

    def _merchant(self, event: SaleEvent, row: Conversion | None) -> Seller:
        known, principal = self._known, self._report.principal
        click = known.clicks.named(event)
        merchant = None
        if event.merchant:
            merchant = known.sellers.get(event.merchant)
        elif row is not None:
            merchant = known.sellers_by_id[row.merchant_id]
            # One that came before its sale was let in for the click's merchant.
            if event.amounts == "change" and click is not None and click.merchant_id != row.merchant_id:
                raise Refused(
                    "MERCHANT_MISMATCH", f"This sale was reported for {merchant.slug}, the click led elsewhere."
                )
        elif click is not None:
            merchant = known.sellers_by_id[click.merchant_id]
        if merchant is None:
            message = "Name the merchant by its slug, or a click that we made."
            if principal is not None:
                raise MerchantNotReportable(message)
            raise Refused("MERCHANT_UNKNOWN", message)
        if principal is not None and not principal.may_use_merchant(merchant.id):
            raise MerchantNotReportable(f"You may not report for {merchant.slug}.", merchant=merchant.slug)
        # A sale that is known stays with its source, whatever network the merchant has changed to.
        if row is None and (
            merchant.network != self._source.network
            or (self._source.network is None and merchant.slug != self._source.receivable)
        ):
            raise Refused("MERCHANT_NOT_OF_NETWORK", f"{merchant.slug} does not sell through {self._source.name}.")
        if row is not None and row.merchant_id != merchant.id:
            raise Refused("MERCHANT_MISMATCH", f"This sale was reported for another merchant than {merchant.slug}.")
        return merchant

    def _create(self, event: SaleEvent, state: ConversionState, merchant: Seller) -> Sale:
        found = self._attribute(event, state, merchant)
        declined = state is _C.DECLINED
        if found.receipt is None:
            first = _C.DECLINED if declined else _C.UNATTRIBUTED
        else:
            first = _C.DECLINED if declined else _C.PENDING
        row = Conversion(
            id=new_id(),
            source=self._source.name,
            network_id=self._source.network_id,
            external_id=event.conversion_id,
            merchant_id=merchant.id,
            currency=merchant.currency,
            trace_id=self._report.trace_id,
            click_id=None,
            customer_id=None,
            state=first,
            network_state=state,
            raw_status=event.status,
            mapping_version=self._mapping_version,
            order_amount_minor=event.order_amount_minor or 0,
            commission_minor=event.commission_minor or 0,
            rate_category=event.rate_category,
            line_items=list(event.line_items or ()),
            customer_type=event.customer_type,
            occurred_at=event.occurred_at,
            last_event_at=event.occurred_at,
            reason_code="",
            network_reason=event.reason,
            attribution=found.rules,
            posting_id=None,
            updated_at=event.occurred_at,
        )
        price = self._price(found, row)
        cause = self._cause("sale_declined_at_once" if declined else "sale_reported", event)
        self._draft.record(Entity.CONVERSION, row.id, None, first, cause)
        sale = self._sale(row, self._reward(row, found, price, cause), merchant)
        if not declined:
            post_first(self._draft, sale)
        if sale.reward is not None:
            advance(self._draft, sale, state, self._cause(f"merchant_{state}", event))
        self._conversion_id = row.id
        return sale

    def _update(self, sale: Sale, event: SaleEvent, state: ConversionState) -> None:
        row, draft = sale.conversion, self._draft
        current = _C(row.state)
        if event.occurred_at < row.last_event_at:
            raise Ignored("OLDER_EVENT", "A later event of this sale is known already.")
        if state is not current and (
            CONVERSION_STATES.is_final(current) or (state is not _C.DECLINED and _RANK[state] < _RANK[current])
        ):
            raise Ignored("ILLEGAL_STATE_CHANGE", f"A sale that is {current} does not become {state}.")
        if current is _C.SETTLED and amendments.differs(row, event):
            raise Ignored("ILLEGAL_STATE_CHANGE", "A sale that is settled has its final amounts.")
        changed = False
        if state is not _C.DECLINED and not CONVERSION_STATES.is_final(current):
            changed = amendments.amend(
                draft, self._known.clicks, sale, event, self._event_id, self._cause(amendments.AMENDED, event)
            )
        if current is _C.UNATTRIBUTED and state is not _C.DECLINED:
            self._attribute_late(sale, event, state)
            changed = changed or sale.reward is not None or row.network_state != state
        if sale.reward is not None or state is _C.DECLINED:
            changed = advance(draft, sale, state, self._cause(f"merchant_{state}", event)) or changed
        if not changed:
            raise Ignored("NOTHING_NEW", "The event says what is known already.")

    def _attribute_late(self, sale: Sale, event: SaleEvent, state: ConversionState) -> None:
        """An unattributed sale whose event names a click now."""
        row = sale.conversion
        found = self._attribute(event, state, self._known.sellers_by_id[row.merchant_id])
        if found.receipt is None:
            return
        price = self._price(found, row)
        row.attribution = found.rules
        cause = self._cause("attributed", event)
        move_conversion(self._draft, row, _C.PENDING, cause)
        sale.reward = self._reward(row, found, price, cause)
        post_attributed(self._draft, sale)

    def _attribute(self, event: SaleEvent, state: ConversionState, merchant: Seller) -> attribution.Attribution:
        found = attribution.attribute(self._known.clicks, event, state, merchant.id)
        if found.forged is not None:
            raise Refused("RECEIPT_INVALID", f"The click's receipt is not genuine: {found.forged}.")
        return found

    def _price(self, found: attribution.Attribution, row: Conversion) -> pricing.Price | None:
        if found.receipt is None:
            return None
        return amendments.price_of(found.receipt, row.currency, amendments.Facts.of(row))

    def _reward(
        self, row: Conversion, found: attribution.Attribution, price: pricing.Price | None, cause: Cause
    ) -> Reward | None:
        if found.receipt is None or price is None:
            return None
        row.click_id = found.receipt.click_id
        row.customer_id = found.receipt.customer_id
        return rewards.create(self._draft, row, found.receipt, price, cause)

    def _sale(self, row: Conversion, reward: Reward | None, merchant: Seller) -> Sale:
        return Sale(row, reward, merchant.slug, self._source.receivable)

    def _cause(self, reason_code: str, event: SaleEvent) -> Cause:
        return Cause(self._report.actor, reason_code, self._event_id, event.reason)
