"""Ids: UUIDv7, so that an index on them grows at its right end and an id tells when it was made."""

import os
import time
from datetime import UTC, datetime
from struct import pack, unpack
from uuid import UUID, SafeUUID

import uuid_utils

from wapsi.errors import Invalid

_NOT_SAID = SafeUUID.unknown


class MalformedID(Invalid):
    reason = "MALFORMED_ID"


def new_id() -> UUID:
    return _made(uuid_utils.uuid7().int)


def _made(bits: int) -> UUID:
    """As UUID makes one, which takes three times as long, for it looks at what it is given."""
    id_ = object.__new__(UUID)
    object.__setattr__(id_, "int", bits)
    object.__setattr__(id_, "is_safe", _NOT_SAID)
    return id_


def id_of(text: str) -> UUID:
    """One that we have written. Raises ValueError."""
    return _made(uuid_utils.UUID(text).int)


def plain_id(id_: UUID) -> UUID:
    """Of the driver's own class, which JSON is not written from directly, one of the library's."""
    return _made(id_.int)


def new_ids(count: int) -> list[UUID]:
    """All of one moment, for what is written together."""
    # 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random bits.
    head = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | 2 << 62
    chance = os.urandom(10 * count)
    ids = []
    for start in range(0, 10 * count, 10):
        bits = int.from_bytes(chance[start : start + 10])
        ids.append(_made(head | (bits >> 62 & 0xFFF) << 64 | bits & (1 << 62) - 1))
    return ids


class AscendingIDs:
    """Ids that follow `first`, as texts without hyphens, for rows that are written together.

    The database makes one at a time, for which it may open the system's source of chance anew (two thirds of what
    it took to make one, and a fifth of a COPY).
    """

    def __init__(self, first: UUID) -> None:
        # The moment, and in 12 bits the part of a millisecond: it is what grows.
        self._moment = (first.int >> 80) << 12 | first.int >> 64 & 0xFFF

    def take(self, count: int) -> list[str]:
        first = self._moment + 1
        self._moment += count
        words = [0] * (2 * count)
        words[::2] = [(moment >> 12) << 16 | 7 << 12 | moment & 0xFFF for moment in range(first, first + count)]
        words[1::2] = [chance >> 2 | 1 << 63 for chance in unpack(f"{count}Q", os.urandom(8 * count))]
        # Written all at once, which takes half the time.
        text = pack(f">{2 * count}Q", *words).hex()
        return [text[start : start + 32] for start in range(0, 32 * count, 32)]


def time_of(id_: UUID) -> datetime:
    """The moment a UUIDv7 was made, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, tz=UTC)


def least_id(moment: datetime) -> UUID:
    """No id that was made at this moment or later is below it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def parse_id(text: str, field: str) -> UUID:
    """Raises MalformedID, naming the field."""
    try:
        return UUID(text)
    except ValueError:
        raise MalformedID(f"{field} must be a UUID.", field=field) from None
