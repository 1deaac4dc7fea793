"""What an earlier WAPSI_SECRET_KEY encrypted is encrypted with the current one, so that the earlier one can go.

Window by window, each a unit of work of its own; what is renewed already is passed over, so a run that was broken off
goes on where it was when it is started again. Rows are not locked: one that somebody changes meanwhile stays as they
wrote it, with the current key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import FromClause, Row, Table, and_, func, literal, select, tuple_, update

from wapsi.db import Database, WriteSession
from wapsi.security.signing import Keys, SignatureInvalid

WINDOW = 500
EXAMPLES = 5
Derived = Callable[[Keys, Mapping[str, Any], str], Mapping[str, bytes]]


def _nothing(_keys: Keys, _row: Mapping[str, Any], _text: str) -> Mapping[str, bytes]:
    return {}


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A column that Keys.encrypt fills. `derived` gives columns beside it that were made of the text by a secret."""

    table: FromClause
    column: str
    derived: Derived = _nothing

    @property
    def name(self) -> str:
        assert isinstance(self.table, Table)
        return f"{self.table.name}.{self.column}"


@dataclass(slots=True)
class Renewal:
    """`unreadable`: written with a secret that is neither the current one nor among the previous ones; `examples` are
    the keys of some of these rows."""

    name: str
    seen: int = 0
    renewed: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)


async def renew(
    db: Database, keys: Keys, column: Encrypted, tell: Callable[[Renewal], None], *, change: bool = True
) -> Renewal:
    """`tell` hears after each window. Without `change` it only counts what would be renewed."""
    found = Renewal(column.name)
    after: tuple[Any, ...] | None = None
    while True:
        async with db.write() as session:
            rows = await _window(session, column, after)
            for row in rows:
                await _renew(session, keys, column, row, found, change=change)
        tell(found)
        if len(rows) < WINDOW:
            return found
        after = tuple(rows[-1]._mapping[key.name] for key in _keys_of(column))


async def _window(session: WriteSession, column: Encrypted, after: tuple[Any, ...] | None) -> list[Row[Any]]:
    key, stored = _keys_of(column), column.table.c[column.column]
    # What is empty was wiped.
    statement = select(column.table).where(func.length(stored) > 0).order_by(*key).limit(WINDOW)
    if after is not None:
        values = (literal(value, part.type) for value, part in zip(after, key, strict=True))
        statement = statement.where(tuple_(*key) > tuple_(*values))
    return list((await session.execute(statement)).all())


async def _renew(
    session: WriteSession, keys: Keys, column: Encrypted, row: Row[Any], found: Renewal, *, change: bool
) -> None:
    values, stored = row._mapping, row._mapping[column.column]
    key = _keys_of(column)
    found.seen += 1
    try:
        if keys.is_current(stored):
            return
        text = keys.decrypt(stored)
    except SignatureInvalid:
        found.unreadable += 1
        if len(found.examples) < EXAMPLES:
            found.examples.append(" ".join(str(values[part.name]) for part in key))
        return
    found.renewed += 1
    if change:
        unchanged = and_(*(part == values[part.name] for part in key), column.table.c[column.column] == stored)
        assert isinstance(column.table, Table)
        new = {column.column: keys.encrypt(text), **column.derived(keys, dict(values), text)}
        await session.execute(update(column.table).where(unchanged).values(new))


def _keys_of(column: Encrypted) -> tuple[Any, ...]:
    assert isinstance(column.table, Table)
    return tuple(column.table.primary_key.columns)
