"""What routes of lists have in common. The cursors themselves are wapsi.cursors."""

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

T = TypeVar("T")

# Where the caller does not say.
PAGE_SIZE = 50
PageSize = Annotated[int, Query(ge=1, le=200, description="Items a page.")]
CursorParam = Annotated[str | None, Query(max_length=500, description="next_cursor of the page before.")]


class Page(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page. There is no total: counting would cost more than the page."""

    items: list[T]
    next_cursor: str | None = None


def split_page(rows: Sequence[T], size: int) -> tuple[Sequence[T], bool]:
    """From size + 1 rows asked for: the page, and whether another follows."""
    return rows[:size], len(rows) > size
