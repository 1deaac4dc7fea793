"""Sales that are new and only pending, which most are: taken in by two statements and no transaction around them.

What the first has found needs no lock. The second writes everything or nothing: where another has taken in the same
event or the same sale in between, the constraints refuse it, and the event goes the way of all others.
"""

from collections import Counter
from collections.abc import Sequence, Set

import asyncpg
import orjson

from domains.cashback.errors import MerchantNotReportable
from domains.cashback.service import loading
from domains.cashback.service.events import EventResult, Source
from domains.cashback.service.handling import Handling, Known
from domains.cashback.service.loading import Click, Clicks, Key
from domains.cashback.service.mappings import mapped
from domains.cashback.service.records import Event
from domains.cashback.service.reports import Report
from domains.cashback.service.writing import REFUSED, Written, write_at_once
from domains.cashback.states import ConversionState
from domains.merchants.service.sellers import SELLERS, sellers_of
from wapsi.db.arrays import array
from wapsi.ids import new_id
from wapsi.security.signing import Keys

Item = tuple[Source, Report]
Answer = EventResult | MerchantNotReportable
# By source, each with its version.
Mappings = dict[str, tuple[int, dict[str, str]]]

_GIVEN = ", ".join(
    f"${number}::text::{kind}[]" for number, kind in enumerate((*("text",) * 4, "uuid", "timestamptz"), start=1)
)
_COLUMNS = "events, sale_sources, sale_ids, click_ids, customer_ids, merchant_ids, receipts, receipt_macs, mappings"
# Constants are put together here, and nothing else.
_LOOK = (
    f"WITH found AS MATERIALIZED (SELECT {_COLUMNS} FROM look_for_sales({_GIVEN}))"  # noqa: S608
    f" SELECT found.*, sellers.* FROM found, LATERAL ({SELLERS.format(slugs='$7', ids='merchant_ids')}) AS sellers"
)


class NewSales:
    """One a process. It remembers which words meant pending: a guess at what is worth a try, and nothing more."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._mappings: Mappings = {}

    async def take(self, driver: asyncpg.Connection, items: Sequence[Item]) -> list[Answer | None]:
        """Of each what became of it, durably; None where it is to be taken in by `ingest_many`.

        No transaction may be open.
        """
        answers: list[Answer | None] = [None] * len(items)
        tried = self._worth_a_try(items)
        if not tried:
            return answers
        known, seen, existing = await self._look(driver, [items[position] for position in tried])
        events: list[Event] = []
        written: list[int] = []
        for position in tried:
            source, report = items[position]
            found = seen.get((source.name, report.external_event_id))
            if found is not None:
                answers[position] = found
            elif _is_new(known, existing, source, report):
                handling = Handling(known, source, report, new_id())
                try:
                    result = handling.result()
                except MerchantNotReportable as refusal:
                    answers[position] = refusal
                    continue
                events.append(handling.row(result))
                answers[position] = result
                written.append(position)
        if not await self._write(driver, [items[position] for position in written], known, events):
            for position in written:
                answers[position] = None
        return answers

    def _worth_a_try(self, items: Sequence[Item]) -> list[int]:
        """Those that are alone in their group with their event and their sale, and may be about a pending sale."""
        events = Counter((source.name, report.external_event_id) for source, report in items)
        sales = Counter((source.name, report.event.conversion_id) for source, report in items if report.event)
        tried = []
        for position, (source, report) in enumerate(items):
            event = report.event
            if events[source.name, report.external_event_id] > 1:
                continue
            if event is not None:
                if sales[source.name, event.conversion_id] > 1:
                    continue
                _, words = self._mappings.get(source.name, (0, {}))
                if mapped(words, event.status) not in (None, ConversionState.PENDING):
                    continue
            tried.append(position)
        return tried

    async def _look(
        self, driver: asyncpg.Connection, items: Sequence[Item]
    ) -> tuple[Known, dict[Key, EventResult], set[Key]]:
        """With what became of events that came before, and which sales there are."""
        told = [(source.name, report.event) for source, report in items if report.event is not None]
        click_ids = {loading.click_id_of(event) for _, event in told}
        ids, times = loading.dated(click_id for click_id in click_ids if click_id is not None)
        row = await driver.fetchrow(
            _LOOK,
            array([source.name for source, _ in items]),
            array([report.external_event_id for _, report in items]),
            array([name for name, _ in told]),
            array([event.conversion_id for _, event in told]),
            array(ids),
            array(times),
            list({event.merchant for _, event in told if event.merchant}),
        )
        assert row is not None
        events, sale_sources, sale_ids, *columns, mappings = row[:9]
        clicks = [Click(*values) for values in zip(*columns, strict=True)] if columns[0] else []
        sellers = sellers_of(row[9:])
        found = {source: (version, words) for source, version, words in orjson.loads(mappings or "[]")}
        self._mappings.update(found)
        known = Known(
            clicks=Clicks(self._keys, clicks),
            sellers={seller.slug: seller for seller in sellers},
            sellers_by_id={seller.id: seller for seller in sellers},
            mappings=found,
            sales={},
            balances={},
            customers=set(),
        )
        return known, loading.results_of(events), set(zip(sale_sources or (), sale_ids or (), strict=True))

    async def _write(
        self, driver: asyncpg.Connection, items: Sequence[Item], known: Known, events: list[Event]
    ) -> bool:
        """Whether it was; where not, nothing was."""
        if not events:
            return True
        sales = list(known.sales.values())
        written = Written(
            events=events,
            new_conversions=[sale for sale, _ in sales],
            new_rewards=[reward for _, reward in sales if reward is not None],
            drafts=known.drafts,
        )
        locks = loading.lock_numbers(
            events=((source.name, report.external_event_id) for source, report in items),
            sales=((source.name, report.event.conversion_id) for source, report in items if report.event),
        )
        customers = {reward.customer_id for reward in written.new_rewards}
        try:
            await write_at_once(driver, written, locks, customers)
        except asyncpg.UniqueViolationError:
            return False
        except asyncpg.PostgresError as error:
            if error.sqlstate != REFUSED:
                raise
            return False
        return True


def _is_new(known: Known, existing: Set[Key], source: Source, report: Report) -> bool:
    event = report.event
    if event is None:
        return True
    if source.name not in known.mappings or (source.name, event.conversion_id) in existing:
        return False
    return mapped(known.mappings[source.name][1], event.status) in (None, ConversionState.PENDING)
