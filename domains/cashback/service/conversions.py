"""Sales: one event after the other moves a sale on, changes its amounts, or says nothing new.

Nothing is written before all refusals are out of the way, so an event that is refused leaves only its inbox row.
"""

import contextlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text

from domains.cashback.errors import ConversionNotFound, MerchantNotReportable, NetworkNotReportable
from domains.cashback.models import ClickRow, ConversionRow, RewardRow
from domains.cashback.service import amendments, attribution, events, history, pricing, rewards
from domains.cashback.service.clicks import find_click
from domains.cashback.service.events import EventResult, SaleEvent, Source
from domains.cashback.service.history import Cause
from domains.cashback.service.mappings import current_mapping, mapped
from domains.cashback.service.postings import Sale, post_attributed, post_first
from domains.cashback.service.refusals import Ignored, Refused
from domains.cashback.service.steps import advance, move_conversion
from domains.cashback.states import CONVERSION_STATES, ConversionState, Door, Entity, EventOutcome
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import current_trace_id

_C = ConversionState
_RANK = {_C.UNATTRIBUTED: 0, _C.PENDING: 0, _C.APPROVED: 1, _C.SETTLED: 2}


@dataclass(frozen=True, slots=True)
class Report:
    """An event as it came through a door. `event` is None, and `fault` says why, where it could not be read.

    `principal` is the producer that reports over gRPC, limited to its merchants; a network's own signature stands
    for all merchants of the network.
    """

    external_event_id: str
    door: Door
    raw: bytes
    actor: str
    event: SaleEvent | None
    fault: str = ""
    principal: Principal | None = None


async def check_reporter(session: ReadSession, principal: Principal, network: str) -> None:
    """A producer reports for the one network it belongs to, or for its direct merchants without any.

    Raises NetworkNotReportable and NetworkNotFound.
    """
    if principal.kind is not PrincipalKind.PRODUCER or not network:
        return
    producer = await customers.get_producer(session, principal.id)
    if producer.network_id != (await merchants.get_network(session, network)).id:
        raise NetworkNotReportable(f"You may not report for {network}.", network=network)


async def ingest(session: WriteSession, keys: Keys, source: Source, report: Report) -> EventResult:
    """Takes an event in, once: a repeated one is answered like the first time and changes nothing.

    Raises MerchantNotReportable, and then stores nothing.
    """
    event_id = await events.store(
        session,
        source.name,
        report.external_event_id,
        door=report.door,
        raw=report.raw,
        event=report.event,
        actor=report.actor,
    )
    if event_id is None:
        return await events.earlier_result(session, source.name, report.external_event_id)
    handling = _Handling(session, keys, source, report, event_id)
    try:
        if report.event is None:
            raise Refused("EVENT_MALFORMED", f"The event could not be read: {report.fault}.")
        conversion_id = await handling.handle(report.event)
        result = EventResult(event_id, EventOutcome.APPLIED, conversion_id, "", "", repeated=False)
    except Refused as refusal:
        result = EventResult(
            event_id, refusal.outcome, handling.conversion_id, refusal.reason, refusal.message, repeated=False
        )
    await events.note(session, result, handling.mapping_version)
    return result


class _Handling:
    """One event on its way into one sale."""

    def __init__(self, session: WriteSession, keys: Keys, source: Source, report: Report, event_id: UUID) -> None:
        self._session = session
        self._keys = keys
        self._source = source
        self._report = report
        self._event_id = event_id
        self.conversion_id: UUID | None = None
        self.mapping_version: int | None = None

    async def handle(self, event: SaleEvent) -> UUID:
        """Returns the sale's id. Raises Refused and Ignored."""
        session = self._session
        await lock_sale(session, self._source.name, event.conversion_id)
        row = await session.scalar(
            select(ConversionRow).where(
                ConversionRow.source == self._source.name, ConversionRow.external_id == event.conversion_id
            )
        )
        self.conversion_id = None if row is None else row.id
        click = await _click(session, event)
        merchant = await self._merchant(event, row, click)
        self.mapping_version, mapping = await current_mapping(session, self._source.name)
        state = mapped(mapping, event.status)
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
            row = await self._create(event, state, merchant, click)
            self.conversion_id = row.id
        else:
            await self._update(event, state, merchant, row, click)
        row.raw_status = event.status
        row.network_state = state
        row.mapping_version = self.mapping_version
        row.last_event_at = event.occurred_at
        row.occurred_at = min(row.occurred_at, event.occurred_at)
        row.network_reason = event.reason or row.network_reason
        row.updated_at = now()
        await session.flush()
        return row.id

    async def _merchant(
        self, event: SaleEvent, row: ConversionRow | None, click: ClickRow | None
    ) -> merchants.MerchantRef:
        principal = self._report.principal
        known = row.merchant_id if row is not None else click.merchant_id if click is not None else None
        merchant = None
        if event.merchant:
            with contextlib.suppress(merchants.MerchantNotFound):
                merchant = await merchants.get_merchant(self._session, event.merchant)
        elif known is not None:
            merchant = await merchants.get_merchant_by_id(self._session, known)
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

    async def _create(
        self, event: SaleEvent, state: ConversionState, merchant: merchants.MerchantRef, click: ClickRow | None
    ) -> ConversionRow:
        found = self._attribute(event, state, merchant, click)
        declined = state is _C.DECLINED
        if found.receipt is None:
            first = _C.DECLINED if declined else _C.UNATTRIBUTED
        else:
            first = _C.DECLINED if declined else _C.PENDING
        row = ConversionRow(
            id=new_id(),
            source=self._source.name,
            network_id=self._source.network_id,
            external_id=event.conversion_id,
            merchant_id=merchant.id,
            state=first,
            network_state=state,
            raw_status=event.status,
            mapping_version=self.mapping_version,
            order_amount_minor=event.order_amount_minor or 0,
            commission_minor=event.commission_minor or 0,
            currency=merchant.currency,
            rate_category=event.rate_category,
            customer_type=event.customer_type,
            occurred_at=event.occurred_at,
            last_event_at=event.occurred_at,
            network_reason=event.reason,
            attribution=found.rules,
            trace_id=current_trace_id(),
        )
        price = self._price(found, row)
        self._session.add(row)
        await self._session.flush()
        cause = self._cause("sale_declined_at_once" if declined else "sale_reported", event)
        history.record(self._session, Entity.CONVERSION, row.id, None, first, cause)
        reward = await self._reward(row, found, price, cause)
        sale = self._sale(row, reward, merchant)
        if not declined:
            await post_first(self._session, sale)
        if reward is not None:
            await advance(self._session, sale, state, self._cause(f"merchant_{state}", event))
        return row

    async def _update(
        self,
        event: SaleEvent,
        state: ConversionState,
        merchant: merchants.MerchantRef,
        row: ConversionRow,
        click: ClickRow | None,
    ) -> None:
        current = _C(row.state)
        if event.occurred_at < row.last_event_at:
            raise Ignored("OLDER_EVENT", "A later event of this sale is known already.")
        if state is not current and (
            CONVERSION_STATES.is_final(current) or (state is not _C.DECLINED and _RANK[state] < _RANK[current])
        ):
            raise Ignored("ILLEGAL_STATE_CHANGE", f"A sale that is {current} does not become {state}.")
        reward = await rewards.locked_of(self._session, row.id)
        sale = self._sale(row, reward, merchant)
        if current is _C.SETTLED and amendments.differs(row, event):
            raise Ignored("ILLEGAL_STATE_CHANGE", "A sale that is settled has its final amounts.")
        changed = False
        if state is not _C.DECLINED and not CONVERSION_STATES.is_final(current):
            changed = await amendments.amend(self._session, self._keys, sale, event, self._event_id)
        if current is _C.UNATTRIBUTED and state is not _C.DECLINED:
            sale = await self._attribute_late(sale, event, state, merchant, click)
            changed = changed or sale.reward is not None or row.network_state != state
        if sale.reward is not None or state is _C.DECLINED:
            cause = self._cause(f"merchant_{state}", event)
            changed = await advance(self._session, sale, state, cause) or changed
        if not changed:
            raise Ignored("NOTHING_NEW", "The event says what is known already.")

    async def _attribute_late(
        self,
        sale: Sale,
        event: SaleEvent,
        state: ConversionState,
        merchant: merchants.MerchantRef,
        click: ClickRow | None,
    ) -> Sale:
        """An unattributed sale whose event names a click now."""
        found = self._attribute(event, state, merchant, click)
        if found.receipt is None:
            return sale
        row = sale.conversion
        price = self._price(found, row)
        row.attribution = found.rules
        cause = self._cause("attributed", event)
        move_conversion(self._session, row, _C.PENDING, cause)
        attributed = self._sale(row, await self._reward(row, found, price, cause), merchant)
        await post_attributed(self._session, attributed)
        return attributed

    def _attribute(
        self, event: SaleEvent, state: ConversionState, merchant: merchants.MerchantRef, click: ClickRow | None
    ) -> attribution.Attribution:
        found = attribution.attribute(self._keys, event, state, merchant.id, click)
        if found.forged is not None:
            raise Refused("RECEIPT_INVALID", f"The click's receipt is not genuine: {found.forged}.")
        return found

    def _price(self, found: attribution.Attribution, row: ConversionRow) -> pricing.Price | None:
        if found.receipt is None:
            return None
        return amendments.price_of(
            found.receipt, row.order_amount_minor, row.currency, row.rate_category, row.customer_type
        )

    async def _reward(
        self, row: ConversionRow, found: attribution.Attribution, price: pricing.Price | None, cause: Cause
    ) -> RewardRow | None:
        if found.receipt is None or price is None:
            return None
        row.click_id = found.receipt.click_id
        row.customer_id = found.receipt.customer_id
        return await rewards.create(self._session, row, found.receipt, price, cause)

    def _sale(self, row: ConversionRow, reward: RewardRow | None, merchant: merchants.MerchantRef) -> Sale:
        return Sale(row, reward, merchant.slug, self._source.receivable)

    def _cause(self, reason_code: str, event: SaleEvent) -> Cause:
        return Cause(self._report.actor, reason_code, self._event_id, event.reason)


async def _click(session: WriteSession, event: SaleEvent) -> ClickRow | None:
    try:
        click_id = UUID(event.click_id)
    except ValueError:
        return None
    return await find_click(session, click_id)


async def lock_sale(session: WriteSession, source: str, external_id: str) -> None:
    """Events of one sale follow one another, also while its row does not exist yet."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"sale {source} {external_id}"}
    )


async def decide(
    session: WriteSession, principal: Principal, conversion_id: UUID, state: ConversionState, reason_code: str
) -> None:
    """An operator approves or declines a sale. Raises ConversionNotFound and IllegalMove."""
    row = await session.get(ConversionRow, conversion_id)
    if row is None:
        raise ConversionNotFound("There is no such sale.", conversion_id=str(conversion_id))
    await lock_sale(session, row.source, row.external_id)
    locked = await session.get_locked(ConversionRow, conversion_id)
    assert locked is not None
    before = _C(locked.state)
    CONVERSION_STATES.check(before, state)
    merchant = await merchants.get_merchant_by_id(session, locked.merchant_id)
    source_name = locked.source.removeprefix("direct:")
    event_id = await events.store(
        session,
        locked.source,
        f"operator:{new_id()}",
        door=Door.OPERATOR,
        raw=b"",
        event=None,
        actor=str(principal),
    )
    assert event_id is not None
    sale = Sale(locked, await rewards.locked_of(session, conversion_id), merchant.slug, source_name)
    await advance(session, sale, state, Cause(str(principal), reason_code, event_id))
    await events.note(
        session, EventResult(event_id, EventOutcome.APPLIED, conversion_id, "", reason_code, repeated=False), None
    )
    await audit.record(
        session,
        principal,
        action=f"conversion.{state}",
        target=f"conversion:{conversion_id}",
        before={"state": before},
        after={"state": state, "reason_code": reason_code},
    )
