"""A network of any shape: its mapping says where in a message each field lies."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domains.cashback.service.adapters import AdapterSettings
from tests.domains.cashback.network_messages import CLICK, body, get, line, one, said

GENERIC = AdapterSettings(
    merchants={"77": "daraz"},
    time_zone="Asia/Karachi",
    mapping={
        "fields": {
            "event_id": "message.id",
            "conversion_id": ["order.shop", "order.number"],
            "click_id": "order.sub",
            "status": "state",
            "merchant": "order.shop",
            "order_amount": "order.total",
            "occurred_at": "changed",
        },
        "constants": {"currency": "PKR"},
        "times": ["%d/%m/%Y %H:%M"],
    },
)


def test_generic_adapter_follows_its_mapping() -> None:
    order = {"shop": 77, "number": "9", "sub": CLICK, "total": "1,250.50"}
    adapted = one(
        "generic",
        body({"message": {"id": "m-1"}, "order": order, "state": "OK", "changed": "28/11/2025 17:00"}),
        GENERIC,
    )
    assert adapted.external_event_id == "m-1"
    fields = said(adapted)
    assert fields.pop("occurred_at").astimezone(UTC) == datetime(2025, 11, 28, 12, tzinfo=UTC)
    assert fields == {
        "conversion_id": "77:9",
        "click_id": CLICK,
        "merchant": "daraz",
        "status": "OK",
        "order_amount_minor": 125050,
        "currency": "PKR",
    }


def test_generic_mapping_takes_whole_minor_units() -> None:
    mapping = {"fields": {"conversion_id": "id", "status": "s", "order_amount": "a"}, "amounts": "minor"}
    settings = AdapterSettings(currency="PKR", mapping=mapping)
    assert said(one("generic", get(id="1", s="x", a="125050"), settings))["order_amount_minor"] == 125050
    for amount in ("1250.50", "9" * 5000, "-" + "9" * 19, "1e3", "--1"):
        assert "whole number" in one("generic", get(id="1", s="x", a=amount), settings).fault


def test_generic_mapping_tells_changes_which_need_a_name() -> None:
    fields = {"event_id": "row", "conversion_id": "id", "status": "s", "order_amount": "sum", "amounts": "kind"}
    settings = AdapterSettings(currency="PKR", mapping={"fields": fields})
    row = {"row": "r-1", "id": "1", "s": "x", "sum": "-4.50", "kind": "Change"}
    told = said(one("generic", body(row), settings))
    assert (told["amounts"], told["order_amount_minor"]) == ("change", -450)
    assert "below zero" in one("generic", body(row | {"kind": ""}), settings).fault
    assert "amounts" in one("generic", body(row | {"kind": "odd"}), settings).fault
    assert "event_id" in one("generic", body(row | {"row": ""}), settings).fault


def test_generic_mapping_reads_lines() -> None:
    lines = {"path": "cart.items", "fields": {"sku": "id", "category": "kind", "quantity": "n", "amount": "sum"}}
    mapping = {"fields": {"conversion_id": "id", "status": "s"}, "lines": lines}
    settings = AdapterSettings(currency="PKR", mapping=mapping)
    items = [{"id": "A", "kind": "phones", "n": "2", "sum": "10.50"}, {"id": 7, "sum": 1}]
    sale = {"id": "1", "s": "x", "cart": {"items": items}}
    fields = said(one("generic", body(sale), settings))
    assert fields["line_items"] == (line("A", "phones", 2, 1050), line("7", "", 1, 100))
    assert fields["order_amount_minor"] == 1150
    assert "no JSON object" in one("generic", body(sale | {"cart": {"items": [1]}}), settings).fault
    unpriced = body(sale | {"cart": {"items": [{"id": "A"}]}})
    assert "line_items" not in said(one("generic", unpriced, settings))


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"fields": {"status": "s"}},
        {"fields": {"conversion_id": "i", "status": "s", "wages": "w"}},
        {"fields": {"conversion_id": "i", "status": "s"}, "amounts": "guess"},
        {"fields": {"conversion_id": "", "status": "s"}},
    ],
)
def test_faulty_mapping_is_said(mapping: dict[str, Any]) -> None:
    assert "mapping" in one("generic", get(i="1", s="x"), AdapterSettings(mapping=mapping)).fault
