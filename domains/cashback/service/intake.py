"""Where the doors hand events in: those that come at the same time are written in one transaction."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from domains.cashback.service.conversions import Item, ingest_many
from domains.cashback.service.events import EventResult
from domains.cashback.service.new_sales import NewSales
from wapsi.db.errors import operational_errors_in_words
from wapsi.db.groups import GroupCommit
from wapsi.db.transactions import Statements, Transactions
from wapsi.errors import DomainError
from wapsi.runtime import Runtime
from wapsi.security.signing import Keys

log = structlog.get_logger(__name__)

# Each event holds two locks of the database's shared table while its group is written.
GROUP_LIMIT = 128
# While the database writes one group, the next one is decided.
GROUPS_AT_ONCE = 2


class Intake:
    """One a process, so that REST and gRPC share their commits."""

    def __init__(self, db: Any, keys: Keys) -> None:
        self._transactions = Transactions(db)
        self._keys = keys
        self._new_sales = NewSales(keys)
        self._groups: GroupCommit[Item, EventResult] = GroupCommit(
            Statements(db), self._work, limit=GROUP_LIMIT, groups_at_once=GROUPS_AT_ONCE
        )

    async def _work(self, driver: asyncpg.Connection, items: Sequence[Item]) -> Sequence[EventResult | Exception]:
        answers: list[EventResult | Exception | None] = [*await self._new_sales.take(driver, items)]
        rest = [position for position, answer in enumerate(answers) if answer is None]
        if rest:
            try:
                async with operational_errors_in_words(), driver.transaction():
                    others: Sequence[EventResult | Exception] = await ingest_many(
                        driver, self._keys, [items[position] for position in rest]
                    )
            except Exception as error:
                # The fault of these alone: the others are written.
                others = [error] * len(rest)
            for position, answer in zip(rest, others, strict=True):
                answers[position] = answer
        return [answer for answer in answers if answer is not None]

    async def submit(self, item: Item) -> EventResult:
        """Once it is durable, what became of it. Raises MerchantNotReportable, and Unavailable, which is worth a retry.

        Whatever else an event brings about is its own fault alone: what breaks a group is tried once more by itself.
        """
        try:
            return await self._groups.submit(item)
        except DomainError:
            raise
        except Exception:
            log.warning("group_of_events_broken", source=item[0].name, exc_info=True)
            async with self._transactions.write() as driver:
                [answer] = await ingest_many(driver, self._keys, [item])
            if isinstance(answer, DomainError):
                raise answer from None
            return answer

    async def submit_all(self, items: Sequence[Item]) -> list[EventResult | BaseException]:
        """All at once, but what is about one sale in this order."""
        chains: dict[tuple[str, str], list[int]] = {}
        for position, (source, report) in enumerate(items):
            name = report.external_event_id if report.event is None else report.event.conversion_id
            chains.setdefault((source.name, name), []).append(position)
        results: list[EventResult | BaseException | None] = [None] * len(items)

        async def follow(positions: Sequence[int]) -> None:
            for position in positions:
                try:
                    results[position] = await self.submit(items[position])
                except Exception as error:
                    results[position] = error

        await asyncio.gather(*(follow(positions) for positions in chains.values()))
        return [result for result in results if result is not None]


_intakes: weakref.WeakKeyDictionary[Any, Intake] = weakref.WeakKeyDictionary()


def intake_of(runtime: Runtime) -> Intake:
    """The process's own, made when first asked for."""
    intake = _intakes.get(runtime.db)
    if intake is None:
        # Known by its proxy: what is kept here must not keep the database.
        intake = _intakes[runtime.db] = Intake(weakref.proxy(runtime.db), runtime.keys)
    return intake
