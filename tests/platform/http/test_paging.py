"""Cursors lead on from where a page ended, in the listing that made them and in no other."""

import base64
from collections.abc import Callable
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter

from wapsi.cursors import CursorInvalid, decode_cursor, encode_cursor
from wapsi.errors import Category
from wapsi.http.paging import CursorParam, Page, PageSize, split_page

ROWS = [f"row {number:02}" for number in range(7)]
router = APIRouter()


@router.get("/rows")
async def rows(limit: PageSize = 3, cursor: CursorParam = None) -> Page[str]:
    key = decode_cursor("rows", cursor, str)
    found = [row for row in ROWS if key is None or row > key[0]][: limit + 1]
    page, more = split_page(found, limit)
    return Page(items=list(page), next_cursor=encode_cursor("rows", page[-1]) if more else None)


@pytest.mark.parametrize("key", [["a"], [7, "b", UUID(int=5)], [-(2**63), 2**63 - 1], ["ست", "a" * 200]])
def test_a_cursor_brings_back_the_key_it_was_made_of(key: list[object]) -> None:
    cursor = encode_cursor("rows", *key)
    assert decode_cursor("rows", cursor, *map(type, key)) == key
    assert cursor.replace("-", "").replace("_", "").isalnum(), "it does not fit into a URL as it is"


@pytest.mark.parametrize(
    ("part", "kind"),
    [("a", int), (True, int), (1.5, int), (None, int), (2**63, int), (7, str), ("a\0", str), (None, str), ("a", UUID)],
)
def test_a_forged_cursor_is_refused_and_no_fault(part: object, kind: type) -> None:
    """Cursors are not signed: whatever is in one may come."""
    with pytest.raises(CursorInvalid):
        decode_cursor("rows", encode_cursor("rows", part), kind)  # type: ignore[arg-type]


def test_a_cursor_stays_short_however_long_the_filters_are() -> None:
    assert len(encode_cursor("listing " * 500, 2**62, UUID(int=5))) < 120


def test_the_first_page_has_no_cursor() -> None:
    assert decode_cursor("rows", None, str) is None


@pytest.mark.parametrize(
    "cursor",
    [
        encode_cursor("other", "row 02"),
        encode_cursor("rows", "row 02", 3),
        encode_cursor("rows"),
        "",
        "garbage",
        "ست",
        "%%%",
        "a",
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b'{"rows": 1}').decode(),
        base64.urlsafe_b64encode(b'"rows"').decode(),
        base64.urlsafe_b64encode(b"[" * 2000).decode(),
    ],
)
def test_a_foreign_or_broken_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid, match="does not belong to this listing") as refused:
        decode_cursor("rows", cursor, str)
    assert refused.value.category is Category.INVALID


async def test_pages_add_up_to_the_whole_and_end(serve: Callable[..., httpx2.AsyncClient]) -> None:
    api = serve(router)
    found: list[str] = []
    pages = 0
    cursor: str | None = None
    while True:
        answer = await api.get("/rows", params={} if cursor is None else {"cursor": cursor})
        found += answer.json()["items"]
        pages += 1
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    assert (found, pages) == (ROWS, 3)


@pytest.mark.parametrize(("size", "given", "more"), [(3, 2, False), (3, 3, False), (3, 4, True), (3, 0, False)])
def test_a_page_knows_whether_another_follows(size: int, given: int, more: bool) -> None:
    page, follows = split_page(ROWS[:given], size)
    assert (list(page), follows) == (ROWS[: min(size, given)], more)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=-1", "limit=many", "cursor=" + "x" * 501])
async def test_sizes_and_cursors_out_of_bounds_are_refused(
    serve: Callable[..., httpx2.AsyncClient], query: str
) -> None:
    answer = await serve(router).get(f"/rows?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (422, "REQUEST_INVALID")


async def test_a_foreign_cursor_is_a_422_with_its_reason(serve: Callable[..., httpx2.AsyncClient]) -> None:
    answer = await serve(router).get("/rows", params={"cursor": encode_cursor("other", "row 02")})
    assert (answer.status_code, answer.json()["reason"]) == (422, "CURSOR_INVALID")
