"""What is copied: only the columns that a batch has anything in, and the table fills the others as they would be."""

from collections.abc import Callable
from typing import Any

from domains.offers.service.prepare import DEFAULTS, STATED_COLUMNS, without_empty_columns
from wapsi.ids import new_id
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Item = Callable[..., pb.OfferItem]


def row(**values: Any) -> tuple[Any, ...]:
    stated = {"offer_id": "a", "source_time": "t", "content_hash": b"h"} | dict(DEFAULTS) | values
    return tuple(stated[name] for name in STATED_COLUMNS)


def test_columns_that_are_empty_in_all_rows_are_left_out() -> None:
    columns, values = without_empty_columns([row(title="A"), row(title="B", gtins=["1"])])
    assert columns == ("offer_id", "source_time", "content_hash", "title", "gtins")
    assert values == [("a", "a"), ("t", "t"), (b"h", b"h"), ("A", "B"), ([], ["1"])]


def test_a_value_that_is_like_nothing_but_not_the_default_is_copied() -> None:
    columns, _values = without_empty_columns([row(cashback_eligible=False, price_minor=0, kind="")])
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
