"""Messages with several events, and amounts as people write them: what is bad costs only itself."""

from typing import Any

import orjson
import pytest

from domains.cashback.service.adapters import AdapterSettings, Postback, adapt
from tests.domains.cashback.test_adapters import AWIN_ROW, IMPACT, NOW, SETTINGS, body, cj, one, said


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("awin", AWIN_ROW, AWIN_ROW | {"id": [1]}),
        ("awin", AWIN_ROW, AWIN_ROW | {"transactionParts": ["x"]}),
        ("cj", cj(), cj(items=[{"quantity": "1.5"}])),
        ("cj", cj(), None),
        ("impact", IMPACT, IMPACT | {"Items": [{"qty": "many"}]}),
        ("impact", IMPACT, 7),
        ("generic", {"id": "1", "status": "x"}, []),
    ],
    ids=str,
)
def test_bad_one_among_many_costs_only_itself_and_each_keeps_its_own_words(kind: str, good: Any, bad: Any) -> None:
    settings = AdapterSettings(SETTINGS.merchants, mapping={"fields": {"conversion_id": "id", "status": "status"}})
    first, second = adapt(kind, body([good, bad]), settings)
    assert first.event == one(kind, body(good), settings).event
    assert first.event is not None
    assert orjson.loads(first.raw) == good
    # What is kept can be read again by itself.
    assert one(kind, Postback("POST", b"", "application/json", first.raw, NOW), settings) == first
    assert second.event is None
    assert second.fault
    assert orjson.loads(second.raw) == bad


@pytest.mark.parametrize(
    ("text", "minor"),
    [("1,234.50", 123_450), ("-1,234,567", -123_456_700), ("1,23,456.7", 12_345_670), ("12", 1_200)],
)
def test_commas_between_thousands_are_none_of_the_amount(text: str, minor: int) -> None:
    assert (
        said(one("cj", body(cj(saleAmountPubCurrency=text, original=False, items=[]))))["order_amount_minor"] == minor
    )


@pytest.mark.parametrize("text", ["1,50", "1.234,56", "1,2345", "1,,234", ",5", "12,34.5"])
def test_comma_that_may_be_a_decimal_point_is_no_amount(text: str) -> None:
    assert "is no amount" in one("cj", body(cj(saleAmountPubCurrency=text))).fault
