"""Keyset cursors: opaque, and bound to the listing that made them."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel

from wapsi.errors import Invalid

T = TypeVar("T")

PageSize = Annotated[int, Query(ge=1, le=200, description="Items a page.")]
CursorParam = Annotated[str | None, Query(max_length=500, description="next_cursor of the page before.")]


class CursorInvalid(Invalid):
    reason = "CURSOR_INVALID"


class Page(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page. There is no total: counting would cost more than the page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(listing: str, *key: Any) -> str:
    """`listing` names the order (and filters, where they matter); `key` is the last row's sort key."""
    return base64.urlsafe_b64encode(orjson.dumps([listing, *key])).rstrip(b"=").decode()


def decode_cursor(listing: str, cursor: str | None, size: int) -> list[Any] | None:
    """The key of `size` parts, None for the first page. Raises CursorInvalid."""
    if cursor is None:
        return None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        parts = None
    if not isinstance(parts, list) or parts[:1] != [listing] or len(parts) != size + 1:
        raise CursorInvalid("This cursor does not belong to this listing. Start from the first page.")
    return parts[1:]


def split_page(rows: Sequence[T], size: int) -> tuple[Sequence[T], bool]:
    """From size + 1 rows asked for: the page, and whether another follows."""
    return rows[:size], len(rows) > size
