"""What is copied: only the columns that a batch has anything in, and the table fills the others as they would be."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domains.offers.service import ahead
from domains.offers.service.chunks import encode_chunk
from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import ChunkWork
from domains.offers.service.prepare import (
    DEFAULTS,
    STATED_COLUMNS,
    ChunkRead,
    Look,
    NewOffers,
    Preparation,
    look_at,
    without_empty_columns,
)
from domains.offers.validation import ValidationRules
from wapsi.ids import AscendingIDs, new_id
from wapsi.producer.checksum import EMPTY_CHECKSUM
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

RULES = ValidationRules("PKR", None, datetime(2026, 12, 1, tzinfo=UTC))
Item = Callable[..., pb.OfferItem]


def row(**values: Any) -> tuple[Any, ...]:
    stated = {"offer_id": "a", "source_time": "t", "content_hash": b"h"} | dict(DEFAULTS) | values
    return tuple(stated[name] for name in STATED_COLUMNS)


def test_columns_that_are_empty_in_all_rows_are_left_out() -> None:
    columns, values = without_empty_columns({}, [row(title="A"), row(title="B", gtins=["1"])])
    assert columns == ("offer_id", "source_time", "content_hash", "title", "gtins")
    assert [list(column) for column in values] == [["a", "a"], ["t", "t"], [b"h", b"h"], ["A", "B"], [[], ["1"]]]


def test_offers_by_columns_and_offers_by_rows_have_the_columns_of_both() -> None:
    by_columns = {"offer_id": ["c"], "source_time": ["t"], "content_hash": [b"h"], "title": ["C"], "kind": ["product"]}
    columns, values = without_empty_columns(by_columns, [row(title="A", adult=True)])
    assert columns == ("offer_id", "source_time", "content_hash", "title", "adult")
    assert [list(column) for column in values] == [["c", "a"], ["t", "t"], [b"h", b"h"], ["C", "A"], [False, True]]


def test_a_value_that_is_like_nothing_but_not_the_default_is_copied() -> None:
    columns, _values = without_empty_columns({}, [row(cashback_eligible=False, price_minor=0, kind="")])
    assert columns[3:] == ("kind", "price_minor", "cashback_eligible")


async def test_the_defaults_are_those_of_the_table(admin_sql: Any) -> None:
    await admin_sql(
        "INSERT INTO offers (merchant_id, catalogue_version, offer_id, source_time, content_hash)"
        " VALUES ($1, 1, 'a', now(), '')",
        new_id(),
    )
    columns = ", ".join(name if name != "custom_attributes" else "custom_attributes::text" for name in DEFAULTS)
    [stored] = await admin_sql(f"SELECT {columns} FROM offers")
    assert dict(stored) == dict(DEFAULTS)


async def test_an_offer_with_everything_and_one_with_next_to_nothing_arrive_whole(
    shop: Any, item: Item, admin_sql: Any
) -> None:
    full = item("full", description="D", color="red", size="M", gtins=["4006381333931"], adult=True, mpn="m-1")
    full.offer.custom_attributes["material"] = "cotton"
    await shop.sync([full, item("plain")])
    rows = await admin_sql("SELECT * FROM offers ORDER BY offer_id")
    whole, plain = rows
    assert (whole["color"], whole["gtins"], whole["adult"], whole["mpn"]) == ("red", ["4006381333931"], True, "m-1")
    assert "cotton" in str(whole["custom_attributes"])
    assert (plain["color"], plain["gtins"], plain["adult"], plain["mpn"]) == ("", [], False, "")
    assert plain["status"] == "active"
    assert plain["first_seen_at"] == plain["last_seen_at"] == plain["price_since"]


async def test_rows_that_need_a_second_look_change_nothing_for_those_beside_them(
    shop: Any, item: Item, deletion: Item, admin_sql: Any
) -> None:
    await shop.sync([item("changed"), item("gone")])
    feed = [
        item("a"),
        item("cut", title="T" * 200),
        item("bad", title=""),
        deletion("gone"),
        item("changed", mpn="m-2"),
    ]
    sync = await shop.sync([*feed, item("coupon", kind=pb.OFFER_KIND_COUPON, coupon_code="C"), item("z", brand="Z")])
    counters = sync.counters
    assert (counters.created, counters.updated, counters.rejected, counters.withdrawn_by_item) == (4, 1, 1, 1)
    rows = await admin_sql("SELECT offer_id, kind, mpn, brand, length(title) AS length, status FROM offers")
    stored = {row["offer_id"]: row for row in rows}
    assert stored.keys() == {"a", "cut", "changed", "gone", "coupon", "z"}
    assert (stored["cut"]["length"], stored["changed"]["mpn"], stored["z"]["brand"]) == (150, "m-2", "Z")
    assert (stored["coupon"]["kind"], stored["gone"]["status"], stored["a"]["mpn"]) == ("coupon", "withdrawn", "")
    issues = await admin_sql("SELECT item_offset, code FROM sync_issues ORDER BY item_offset")
    assert [tuple(issue) for issue in issues] == [(1, "TITLE_TRUNCATED"), (2, "TITLE_REQUIRED")]


def chunk_of(items: Sequence[pb.OfferItem], actions: str, positions: Sequence[int]) -> ChunkRead:
    chunk = encode_chunk(EMPTY_CHECKSUM, 0, [item.SerializeToString() for item in items])
    work = ChunkWork(0, struct.pack(f">{len(positions)}H", *positions), actions)
    return ChunkRead(work, chunk.payload, chunk.index)


def prepared(chunk: ChunkRead, looks: dict[int, Look]) -> tuple[Any, ...]:
    issues = IssueLog(new_id())
    done = Preparation(RULES, issues, NewOffers(new_id(), 1, AscendingIDs(new_id())), looks).prepare(chunk)
    # Behind merchant, version and id, which are new each time.
    lines = [line.split("\t", 3)[3] for line in done.creates.decode().splitlines()]
    return lines, done.create_columns, done.updates, done.created, done.rejected, issues.warnings


@pytest.mark.parametrize(("actions", "positions"), [("CCCC", range(4)), ("CCUC", range(4)), ("CDC", (0, 1, 3))])
def test_what_was_looked_at_before_becomes_what_it_would_have_become(
    item: Item, actions: str, positions: Sequence[int]
) -> None:
    items = [item("a"), item("b", title="two  blanks"), item("c", color="red"), item("d", title="")]
    chunk = chunk_of(items, actions, positions)
    look = look_at(chunk.payload, RULES)
    assert look is not None
    assert look.odd == {1, 3}
    # With its items, and without them, as it is kept.
    for looks in ({0: replace(look, odd={1, 3})}, {0: replace(look, items=None, odd={1, 3})}):
        assert prepared(chunk, looks) == prepared(chunk, {})
        assert not looks


async def test_chunks_are_looked_at_in_their_order_until_there_are_enough(
    shop: Any, item: Item, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = await shop.start()
    for offset in (0, 2, 4):
        await shop.push(sync.sync_id, offset, [item(str(offset)), item(str(offset + 1))])
    size = len(b"".join(one.SerializeToString() for one in (item("0"), item("1"))))
    monkeypatch.setattr(ahead, "_MOST_BYTES", size * 3 // 2)
    looks: dict[int, Look] = {}
    await ahead.look_ahead(runtime.db, UUID(sync.sync_id), RULES, looks, asyncio.Event())
    assert list(looks) == [0, 2]
    assert looks[2].columns["offer_id"] == ["2", "3"]
    assert looks[2].odd == set()
    assert looks[2].items is None
