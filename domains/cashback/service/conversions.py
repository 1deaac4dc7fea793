"""Sales: one event after the other moves a sale on, changes its amounts, or says nothing new.

Events come in groups, whichever door they come through, and a single one is a group of one. The number of statements
does not depend on how many they are.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from domains.cashback.errors import ConversionNotFound, MerchantNotReportable
from domains.cashback.service import loading
from domains.cashback.service.drafts import Draft
from domains.cashback.service.events import EventResult, SaleEvent, Source
from domains.cashback.service.handling import Handling, Known
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import lock_customers, locked_balances
from domains.cashback.service.loading import Clicks, Key
from domains.cashback.service.mappings import default_mapping, mapped
from domains.cashback.service.operator_events import operator_event
from domains.cashback.service.records import Conversion, Event, Reward
from domains.cashback.service.reports import Report
from domains.cashback.service.steps import advance
from domains.cashback.service.writing import Written, write
from domains.cashback.states import CONVERSION_STATES, ConversionState
from domains.merchants.service.sellers import sellers
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import current_trace_id

_C = ConversionState
Item = tuple[Source, Report]
Told = tuple[Source, SaleEvent]
Answer = EventResult | MerchantNotReportable


async def ingest(session: WriteSession, keys: Keys, source: Source, report: Report) -> EventResult:
    """Takes an event in, once: a repeated one is answered like the first time and changes nothing.

    Raises MerchantNotReportable, and then stores nothing.
    """
    [answer] = await ingest_many(await session.driver(), keys, [(source, report)])
    if isinstance(answer, MerchantNotReportable):
        raise answer
    return answer


async def ingest_many(driver: asyncpg.Connection, keys: Keys, items: Sequence[Item]) -> list[Answer]:
    """Takes events in, in this order and in the transaction that is open, and says of each what became of it.

    One that is refused leaves nothing but its inbox row, a MerchantNotReportable not even that, and neither touches
    the others.
    """
    told = [(source, report.event) for source, report in items if report.event is not None]
    events_of = {_event_key(item): None for item in items}
    sales = {_sale_key(*one): None for one in told}
    await loading.lock(driver, events=events_of, sales=sales)
    click_ids = {loading.click_id_of(event): None for _, event in told}
    seen = await loading.look(driver, events_of, sales, [id_ for id_ in click_ids if id_ is not None])
    answers = seen.events
    known = await load_known(driver, keys, seen, told)
    before = dict(known.sales)
    events: list[Event] = []
    refused: dict[int, MerchantNotReportable] = {}
    first: dict[Key, int] = {}
    for position, item in enumerate(items):
        key = _event_key(item)
        if key in answers:
            continue
        handling = Handling(known, *item, new_id())
        try:
            answers[key] = handling.result()
        except MerchantNotReportable as refusal:
            refused[position] = refusal
            continue
        first[key] = position
        events.append(handling.row(answers[key]))
    await write(driver, written_of(known, before, events))
    return [
        refused[position] if position in refused else _answer(answers[_event_key(item)], first, position, item)
        for position, item in enumerate(items)
    ]


def _answer(result: EventResult, first: dict[Key, int], position: int, item: Item) -> EventResult:
    if result.repeated or first[_event_key(item)] == position:
        return result
    return EventResult(
        result.event_id, result.outcome, result.conversion_id, result.reason, result.message, repeated=True
    )


def _event_key(item: Item) -> Key:
    return item[0].name, item[1].external_event_id


def _sale_key(source: Source, event: SaleEvent) -> Key:
    return source.name, event.conversion_id


async def load_known(driver: asyncpg.Connection, keys: Keys, seen: loading.Look, told: Sequence[Told]) -> Known:
    conversions = await loading.load_conversions(driver, seen.sale_ids)
    rewards = await loading.load_rewards(driver, seen.sale_ids)
    sales = {(row.source, row.external_id): (row, rewards.get(row.id)) for row in conversions}
    clicks, mappings = seen.clicks, seen.mappings
    missing = {row.click_id for row in conversions if row.click_id is not None} - {click.id for click in clicks}
    clicks += await loading.load_clicks(driver, missing)
    for source in {source.name for source, _ in told} - mappings.keys():
        mappings[source] = await default_mapping(driver, source)
    found = await sellers(
        driver,
        {event.merchant for _, event in told if event.merchant},
        {click.merchant_id for click in clicks} | {row.merchant_id for row in conversions},
    )
    # A sale that only becomes pending asks for no balance.
    moving = any(mapped(mappings[source.name][1], event.status) is not _C.PENDING for source, event in told)
    moving = moving or bool(sales) or len(told) > len({_sale_key(*one) for one in told})
    customers = {click.customer_id for click in clicks} | {reward.customer_id for reward in rewards.values()}
    balances: dict[tuple[str, str], int] = {}
    if moving:
        balances = await locked_balances(driver, customers)
    else:
        await lock_customers(driver, customers)
    return Known(
        clicks=Clicks(keys, clicks),
        sellers={seller.slug: seller for seller in found},
        sellers_by_id={seller.id: seller for seller in found},
        mappings=mappings,
        sales=sales,
        balances=balances,
        customers=customers if moving else set(),
    )


def written_of(known: Known, before: Mapping[Key, tuple[Conversion, Reward | None]], events: list[Event]) -> Written:
    """Each sale and reward once, as its last event left it."""
    written = Written(events=events, drafts=known.drafts)
    for key, (row, reward) in known.sales.items():
        old_row, old_reward = before.get(key, (None, None))
        if row is old_row:
            continue
        (written.new_conversions if old_row is None else written.changed_conversions).append(row)
        if reward is not None:
            (written.new_rewards if old_reward is None else written.changed_rewards).append(reward)
    return written


async def decide(
    session: WriteSession, principal: Principal, conversion_id: UUID, state: ConversionState, reason_code: str
) -> None:
    """An operator approves or declines a sale. Raises ConversionNotFound and IllegalMove."""
    sale = await loading.load_sale(session, conversion_id)
    if sale is None:
        raise ConversionNotFound("There is no such sale.", conversion_id=str(conversion_id))
    driver = await session.driver()
    row = sale.conversion
    before = _C(row.state)
    CONVERSION_STATES.check(before, state)
    customers = [] if sale.reward is None else [sale.customer_id]
    draft = Draft(await locked_balances(driver, customers), customers, current_trace_id())
    event = operator_event(row, principal, reason_code)
    advance(draft, sale, state, Cause(str(principal), reason_code, event.id))
    await write(
        driver,
        Written(
            events=[event],
            changed_conversions=[row],
            changed_rewards=[] if sale.reward is None else [sale.reward],
            drafts=[draft],
        ),
    )
    await audit.record(
        session,
        principal,
        action=f"conversion.{state}",
        target=f"conversion:{conversion_id}",
        before={"state": before},
        after={"state": state, "reason_code": reason_code},
    )
