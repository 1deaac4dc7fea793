"""Ids: UUIDv7, so that an index on them grows at its right end and an id tells when it was made."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from wapsi.errors import Invalid


class MalformedID(Invalid):
    reason = "MALFORMED_ID"


def new_id() -> UUID:
    return uuid7()


def time_of(id_: UUID) -> datetime:
    """The moment a UUIDv7 was made, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, tz=UTC)


def parse_id(text: str, field: str) -> UUID:
    """Raises MalformedID, naming the field."""
    try:
        return UUID(text)
    except ValueError:
        raise MalformedID(f"{field} must be a UUID.", field=field) from None
