"""What is kept about a person, whoever keeps it: handed out to them, and removed when they leave.

Each domain says what it holds (a Holder); the composition root puts the holders together, and so the domain that
knows the account need not know the others.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import orjson

from wapsi.clock import now
from wapsi.db import Reads, WriteSession
from wapsi.security.signing import Keys

WINDOW = 200
_BELOW_ALL_IDS = UUID(int=0)


def _as_it_is(_keys: Keys, row: asyncpg.Record) -> Mapping[str, Any]:
    return dict(row)


@dataclass(frozen=True, slots=True)
class Section:
    """One list of the export, read window by window, so that its size does not matter.

    `sql` takes the customer's id ($1), the key of the last row seen ($2) and how many are wanted ($3); it returns rows
    in the order of their keys, the key first. `after` is below every key. `shape` makes of a row what is handed out.
    """

    name: str
    sql: str
    after: UUID | int = _BELOW_ALL_IDS
    shape: Callable[[Keys, asyncpg.Record], Mapping[str, Any]] = _as_it_is

    async def windows(self, reads: Reads, keys: Keys, customer_id: UUID) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Each is a statement of its own: a client that reads slowly holds no connection."""
        key: Any = self.after
        while rows := await reads.fetch_current(self.sql, customer_id, key, WINDOW):
            yield [self.shape(keys, row) for row in rows]
            if len(rows) < WINDOW:
                return
            key = rows[-1][0]


class Settle(Protocol):
    async def __call__(self, session: WriteSession, customer_id: UUID, *, forfeit: bool) -> Mapping[str, Any]:
        """Ends what is under way, or raises the domain error that says why the account cannot go yet. Locks what must
        not change before the transaction ends. Returns what the audit log is to say of it: no personal data."""


Erase = Callable[[WriteSession, UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Holder:
    """`erase` removes the person from what must stay, and deletes the rest; a second time it finds nothing to do."""

    name: str
    erase: Erase
    sections: Sequence[Section] = field(default=())
    settle: Settle | None = None


class PersonalData:
    """All holders, in the order in which they lock: money before the account that it belongs to."""

    def __init__(self, holders: Iterable[Holder]) -> None:
        self._holders = tuple(holders)

    @property
    def section_names(self) -> list[str]:
        return [section.name for holder in self._holders for section in holder.sections]

    async def export(self, reads: Reads, keys: Keys, customer_id: UUID) -> AsyncIterator[bytes]:
        """One JSON document: an object with a list for each section."""
        head = orjson.dumps({"customer_id": str(customer_id), "generated_at": now()})
        yield head[:-1]
        for holder in self._holders:
            for section in holder.sections:
                yield b',\n"%s":[' % section.name.encode()
                separator = b""
                async for rows in section.windows(reads, keys, customer_id):
                    # The driver has a UUID of its own that no encoder knows.
                    yield separator + orjson.dumps(rows, default=str)[1:-1]
                    separator = b","
                yield b"]"
        yield b"}\n"

    async def settle(self, session: WriteSession, customer_id: UUID, *, forfeit: bool) -> dict[str, Any]:
        """Raises what a holder refuses by; then nothing of it may be committed."""
        found: dict[str, Any] = {}
        for holder in self._holders:
            if holder.settle is not None:
                found |= await holder.settle(session, customer_id, forfeit=forfeit)
        return found

    async def erase(self, session: WriteSession, customer_id: UUID) -> None:
        """Refuses nothing: what would be a reason not to is settled before."""
        for holder in self._holders:
            await holder.erase(session, customer_id)
