"""Ids: UUIDv7, so that an index on them grows at its right end and an id tells when it was made."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from wapsi.errors import Invalid


class MalformedID(Invalid):
    reason = "MALFORMED_ID"


def new_id() -> UUID:
    return uuid7()


def new_ids(count: int) -> list[UUID]:
    """All of one moment, for what is written together."""
    # 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random bits.
    head = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | 2 << 62
    chance = os.urandom(10 * count)
    ids = []
    for start in range(0, 10 * count, 10):
        bits = int.from_bytes(chance[start : start + 10])
        ids.append(UUID(int=head | (bits >> 62 & 0xFFF) << 64 | bits & (1 << 62) - 1))
    return ids


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
