"""Where clicks are handed in and followed: those that come at the same time are written in one transaction."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import structlog

from domains.cashback.service import click_rows
from domains.cashback.service.clicks import Click, ClickBook, ClickRequest, NewClick
from domains.cashback.service.links import click_of_token, unknown_click
from wapsi.db import WriteSession
from wapsi.db.groups import GroupCommit, Work
from wapsi.db.transactions import Transactions
from wapsi.errors import DomainError, Unavailable
from wapsi.http.keyed import KeptAnswer, KeyedRequest, claim, keep
from wapsi.runtime import Runtime
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import current_trace_id

log = structlog.get_logger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")

# Each keyed click holds a lock of the database's shared table while its group is written.
GROUP_LIMIT = 128
# While the database writes one group, the next one is signed.
GROUPS_AT_ONCE = 2
# Fewer wait for the group that is being written: its eight statements cost as much as recording ten clicks.
GROUP_LEAST = 16


@dataclass(slots=True)
class _Asked:
    """`body` makes what a caller with a key is answered, now and when the request comes again."""

    request: ClickRequest
    keyed: KeyedRequest | None = None
    body: Callable[[Click], bytes] | None = None


class ClickDesk:
    """One a process."""

    def __init__(self, db: Any, keys: Keys, public_url: str) -> None:
        self._transactions = Transactions(db, click_rows.BY_KEYS)
        self._keys = keys
        self.book = ClickBook(keys, public_url)
        self._clicks: GroupCommit[_Asked, Click | KeptAnswer] = GroupCommit(
            self._transactions, self._record, limit=GROUP_LIMIT, groups_at_once=GROUPS_AT_ONCE, least=GROUP_LEAST
        )
        self._visits: GroupCommit[UUID, str] = GroupCommit(self._transactions, self._follow, limit=GROUP_LIMIT)

    async def submit(self, customer_id: UUID, new: NewClick) -> Click:
        """Returns once it is durable. Raises what ClickBook.record refuses by, and Unavailable."""
        asked = _Asked(ClickRequest(customer_id, new, current_trace_id()))
        made = await self._in_a_group(self._clicks, self._record, asked)
        assert isinstance(made, Click)
        return made

    async def submit_keyed(
        self, customer_id: UUID, new: NewClick, keyed: KeyedRequest, body: Callable[[Click], bytes]
    ) -> KeptAnswer:
        """The same once a key, with the answer kept beside the click. Raises IdempotencyInFlight and -KeyReused too."""
        asked = _Asked(ClickRequest(customer_id, new, current_trace_id()), keyed, body)
        answer = await self._in_a_group(self._clicks, self._record, asked)
        assert isinstance(answer, KeptAnswer)
        return answer

    async def follow(self, token: str) -> str:
        """Where to send the browser; the first time is noted before this returns. Raises ClickNotFound.

        A click past its window still leads on: the visitor wants to go there, only no cashback comes of it any more,
        which attribution decides.
        """
        return await self._in_a_group(self._visits, self._follow, click_of_token(self._keys, token))

    async def _record(
        self, driver: asyncpg.Connection, items: Sequence[_Asked]
    ) -> Sequence[Click | KeptAnswer | Exception]:
        results: list[Click | KeptAnswer | Exception | None] = [None] * len(items)
        keyed = [(position, item.keyed) for position, item in enumerate(items) if item.keyed is not None]
        if keyed:
            claims = await claim(driver, [request for _, request in keyed])
            for (position, _), claimed in zip(keyed, claims, strict=True):
                results[position] = claimed
        fresh = [position for position, result in enumerate(results) if result is None]
        if not fresh:
            return [result for result in results if result is not None]
        kept: list[tuple[KeyedRequest, KeptAnswer]] = []
        answers = await self.book.record(driver, [items[position].request for position in fresh])
        for position, answer in zip(fresh, answers, strict=True):
            item = items[position]
            if isinstance(answer, Click) and item.keyed is not None and item.body is not None:
                answer_kept = results[position] = KeptAnswer(201, item.body(answer), None, replayed=False)
                kept.append((item.keyed, answer_kept))
            else:
                results[position] = answer
        await keep(driver, kept)
        return [result for result in results if result is not None]

    async def _follow(self, driver: asyncpg.Connection, click_ids: Sequence[UUID]) -> Sequence[str | Exception]:
        targets = await click_rows.follow(driver, click_ids)
        return [targets.get(click_id) or unknown_click() for click_id in click_ids]

    async def _in_a_group(self, groups: GroupCommit[Item, Result], work: Work[Item, Result], item: Item) -> Result:
        try:
            return await groups.submit(item)
        except DomainError as error:
            if isinstance(error, Unavailable):
                self.book.under_way.forget()
            raise
        except Exception:
            self.book.under_way.forget()
            # What breaks a group is the fault of one: each is tried once more by itself.
            log.warning("group_of_clicks_broken", exc_info=True)
            async with self._transactions.write() as driver:
                [result] = await work(driver, [item])
            if isinstance(result, Exception):
                raise result from None
            return result


_desks: weakref.WeakKeyDictionary[Any, ClickDesk] = weakref.WeakKeyDictionary()


def click_desk_of(runtime: Runtime) -> ClickDesk:
    """The process's own, made when first asked for."""
    desk = _desks.get(runtime.db)
    if desk is None:
        # Known by its proxy: what is kept here must not keep the database.
        desk = _desks[runtime.db] = ClickDesk(weakref.proxy(runtime.db), runtime.keys, runtime.settings.public_url)
    return desk


async def create_click(session: WriteSession, runtime: Runtime, customer_id: UUID, new: NewClick) -> Click:
    """One alone, in the caller's transaction. Raises what ClickBook.record refuses by."""
    request, driver = ClickRequest(customer_id, new, current_trace_id()), await session.driver()
    await driver.execute(click_rows.BY_KEYS)
    [answer] = await click_desk_of(runtime).book.record(driver, [request])
    if isinstance(answer, DomainError):
        raise answer
    return answer
