"""Keyset cursors: opaque, and bound to the listing that made them."""

import base64
import binascii
import hashlib
from typing import Any
from uuid import UUID

import orjson

from wapsi.errors import Invalid

_INT64 = 2**63


class CursorInvalid(Invalid):
    reason = "CURSOR_INVALID"

    def __init__(self) -> None:
        super().__init__("This cursor does not belong to this listing. Start from the first page.")


def encode_cursor(listing: str, *key: int | str | UUID) -> str:
    """`listing` names the order (and filters, where they matter); `key` is the last row's sort key."""
    # As text, since the driver has a UUID of its own that no encoder knows.
    parts = [str(part) if isinstance(part, UUID) else part for part in key]
    return base64.urlsafe_b64encode(orjson.dumps([_tag(listing), *parts])).rstrip(b"=").decode()


def decode_cursor(listing: str, cursor: str | None, *kinds: type) -> list[Any] | None:
    """The key, whose parts are of these kinds (int, str, UUID); None for the first page.

    Raises CursorInvalid: a cursor is not signed, so nothing in it is taken on trust.
    """
    if cursor is None:
        return None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise CursorInvalid from None
    if not isinstance(parts, list) or parts[:1] != [_tag(listing)] or len(parts) != len(kinds) + 1:
        raise CursorInvalid
    return [_part(part, kind) for part, kind in zip(parts[1:], kinds, strict=True)]


def id_in_cursor(listing: str, cursor: str | None) -> UUID | None:
    """Of a listing by id. Raises CursorInvalid."""
    key = decode_cursor(listing, cursor, UUID)
    return None if key is None else key[0]


def number_in_cursor(listing: str, cursor: str | None) -> int | None:
    """Of a listing by number. Raises CursorInvalid."""
    key = decode_cursor(listing, cursor, int)
    return None if key is None else key[0]


def _tag(listing: str) -> str:
    # A listing's name holds its filters, which may be long.
    return hashlib.blake2b(listing.encode(), digest_size=8).hexdigest()


def _part(part: Any, kind: type) -> int | str | UUID:
    if kind is UUID and isinstance(part, str):
        try:
            return UUID(part)
        except ValueError:
            raise CursorInvalid from None
    # A bool is an int to Python, and NUL is no text to the database.
    if kind is int and type(part) is int and -_INT64 <= part < _INT64:
        return part
    if kind is str and isinstance(part, str) and "\0" not in part:
        return part
    raise CursorInvalid
