"""Status words: every network speaks its own. A word that no mapping knows is kept and shown, never guessed."""

from collections.abc import Mapping

import asyncpg
import orjson

from domains.cashback.states import ConversionState
from wapsi.ids import new_id

_C = ConversionState
_STATES = {str(state): state for state in ConversionState}
_MAKE = """INSERT INTO status_mappings (id, source, version, mapping, created_by)
    VALUES ($1, $2, 1, $3::text::jsonb, 'default') ON CONFLICT (source, version) DO NOTHING"""
_LATEST = "SELECT version, mapping::text FROM status_mappings WHERE source = $1 ORDER BY version DESC LIMIT 1"
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


async def latest_mapping(driver: asyncpg.Connection, source: str) -> tuple[int, dict[str, str]]:
    """Version 0, without words, for a source that has none yet."""
    row = await driver.fetchrow(_LATEST, source)
    return (0, {}) if row is None else (row[0], orjson.loads(row[1]))


async def first_mapping(driver: asyncpg.Connection, source: str, words: Mapping[str, str]) -> None:
    """For a source that has none yet; one that it has stays."""
    await driver.execute(_MAKE, new_id(), source, orjson.dumps(dict(words)).decode())


async def default_mapping(driver: asyncpg.Connection, source: str) -> tuple[int, dict[str, str]]:
    """For a source that has none yet: makes it, and says its version and words."""
    await first_mapping(driver, source, DEFAULT_MAPPING)
    version, words = await driver.fetchrow(_LATEST, source)
    return version, orjson.loads(words)


def mapped(mapping: dict[str, str], word: str) -> ConversionState | None:
    """Our state for a network's word, None where the mapping does not know it."""
    state = mapping.get(normal(word))
    return None if state is None else _STATES[state]


async def active(driver: asyncpg.Connection, source: str) -> tuple[int, dict[str, str]]:
    """The version of a source that counts, and its words."""
    row = await driver.fetchrow(_LATEST, source)
    return await default_mapping(driver, source) if row is None else (row[0], orjson.loads(row[1]))


def normal(word: str) -> str:
    """Words are compared without regard to case and to space around them."""
    return word.strip().lower()
