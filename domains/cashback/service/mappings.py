"""Status words: every network speaks its own. A word that no mapping knows is kept and shown, never guessed."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domains.cashback.models import MappingRow
from domains.cashback.states import ConversionState
from wapsi.db import WriteSession
from wapsi.ids import new_id

_C = ConversionState
# "closed" and "locked" are Commission Junction's: the sale is final and will be paid. They do not mean declined.
DEFAULT_MAPPING: dict[str, str] = {
    "pending": _C.PENDING,
    "new": _C.PENDING,
    "open": _C.PENDING,
    "tracked": _C.PENDING,
    "extended": _C.PENDING,
    "approved": _C.APPROVED,
    "confirmed": _C.APPROVED,
    "accepted": _C.APPROVED,
    "validated": _C.APPROVED,
    "locked": _C.APPROVED,
    "closed": _C.APPROVED,
    "paid": _C.SETTLED,
    "settled": _C.SETTLED,
    "declined": _C.DECLINED,
    "rejected": _C.DECLINED,
    "cancelled": _C.DECLINED,
    "canceled": _C.DECLINED,
    "reversed": _C.DECLINED,
}


async def current_mapping(session: WriteSession, source: str) -> tuple[int, dict[str, str]]:
    """The version and the words of a source's latest mapping; a source that has none gets the default."""
    latest = select(MappingRow).where(MappingRow.source == source).order_by(MappingRow.version.desc()).limit(1)
    row = await session.scalar(latest)
    if row is None:
        await session.execute(
            insert(MappingRow)
            .values(id=new_id(), source=source, version=1, mapping=DEFAULT_MAPPING, created_by="default")
            .on_conflict_do_nothing(index_elements=[MappingRow.source, MappingRow.version])
        )
        row = await session.scalar(latest)
        assert row is not None
    return row.version, row.mapping


def mapped(mapping: dict[str, str], word: str) -> ConversionState | None:
    """Our state for a network's word, None where the mapping does not know it."""
    state = mapping.get(word.strip().lower())
    return None if state is None else ConversionState(state)
