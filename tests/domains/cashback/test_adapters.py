"""Each network's own shape becomes our events: what it says, in its words, and nothing that it did not say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from domains.cashback.service import adapters
from domains.cashback.service.adapters import AdaptedEvent, AdapterSettings, Postback, adapt
from domains.cashback.states import ConversionState
from tests.domains.cashback.network_messages import CLICK, NOW, SETTINGS, body, form, get, line, one, said

AWIN_PUSH = {
    "transactionId": "105956531",
    "transactionDate": "2025-11-13 12:05:00",
    "transactionCurrency": "GBP",
    "transactionAmount": "26.09",
    "affiliateId": "45628",
    "merchantId": "3661",
    "clickRef": CLICK,
    "clickTime": "2025-11-13 11:55:00",
    "commission": "1.64",
    "commissionGroups": [{"id": "1", "name": "Shoes", "code": "SHOES", "amount": "26.09"}],
}
AWIN_ROW = {
    "id": 105956531,
    "advertiserId": 3661,
    "commissionStatus": "declined",
    "commissionAmount": {"amount": 1.64, "currency": "GBP"},
    "saleAmount": {"amount": 26.09, "currency": "GBP"},
    "clickRefs": {"clickRef": CLICK},
    "transactionDate": "2025-11-13T12:05:00",
    "validationDate": "2025-11-20T08:00:00",
    "declineReason": "Returned goods",
    "amended": False,
    "transactionParts": [{"commissionGroupCode": "DEFAULT", "amount": 26.09, "commissionAmount": 1.64}],
}


def test_awin_pushes_json_in_a_form_field() -> None:
    adapted = one("awin", form(AwinTransactionPush=orjson.dumps(AWIN_PUSH).decode()))
    assert said(adapted) == {
        "conversion_id": "105956531",
        "click_id": CLICK,
        "merchant": "daraz",
        "status": "pending",
        "order_amount_minor": 2609,
        "commission_minor": 164,
        "currency": "GBP",
        "rate_category": "SHOES",
        "line_items": (line("", "SHOES", 1, 2609),),
        "occurred_at": datetime(2025, 11, 13, 12, 5, tzinfo=UTC),
    }


def test_awin_calls_with_macros_in_the_address() -> None:
    fields = {name: value for name, value in AWIN_PUSH.items() if name != "commissionGroups"}
    groups = orjson.dumps(AWIN_PUSH["commissionGroups"]).decode()
    assert said(one("awin", get(**fields, commissionGroups=groups))) == said(
        one("awin", form(AwinTransactionPush=orjson.dumps(AWIN_PUSH).decode()))
    )


def test_awin_report_tells_of_a_decision() -> None:
    fields = said(one("awin", body([AWIN_ROW])))
    assert (fields["conversion_id"], fields["status"], fields["reason"]) == ("105956531", "declined", "Returned goods")
    assert fields["occurred_at"] == datetime(2025, 11, 20, 8, tzinfo=UTC)
    assert "rate_category" not in fields


def test_awin_amendment_and_payment_come_to_hold_when_they_are_heard_of() -> None:
    amended = AWIN_ROW | {"amended": True, "amendReason": "Part return", "declineReason": None}
    amended |= {"saleAmount": {"amount": 13.0, "currency": "GBP"}, "commissionStatus": "approved"}
    fields = said(one("awin", body([amended])))
    assert (fields["order_amount_minor"], fields["occurred_at"], fields["reason"]) == (1300, NOW, "Part return")
    assert said(one("awin", body([AWIN_ROW | {"paidToPublisher": True}])))["status"] == "paid"


def cj(**changes: Any) -> dict[str, Any]:
    return {
        "commissionId": "2292067663",
        "original": True,
        "originalActionId": "1990001",
        "actionStatus": "new",
        "advertiserId": "77",
        "shopperId": CLICK,
        "postingDate": "2025-11-03T22:31:48Z",
        "lockingDate": "2025-12-10T08:00:00Z",
        "pubCurrency": "USD",
        "saleAmountPubCurrency": "75.474",
        "pubCommissionAmountPubCurrency": "7.548",
        "correctionReason": None,
        "newToFile": True,
        "items": [{"sku": "A", "quantity": 2, "perItemSaleAmountPubCurrency": "37.737", "itemListId": "denim"}],
    } | changes


def test_cj_answers_with_a_page_of_records() -> None:
    page = {"data": {"publisherCommissions": {"count": 2, "records": [cj(), cj(commissionId="2", original=False)]}}}
    first, second = adapt("cj", body(page), SETTINGS)
    assert said(first) == {
        "conversion_id": "1990001",
        "click_id": CLICK,
        "merchant": "daraz",
        "status": "new",
        "order_amount_minor": 7547,
        "commission_minor": 755,
        "amounts": "first",
        "currency": "USD",
        "rate_category": "denim",
        "line_items": (line("A", "denim", 2, 7548),),
        "customer_type": "new",
        "occurred_at": datetime(2025, 11, 3, 22, 31, 48, tzinfo=UTC),
    }
    assert said(second)["amounts"] == "change"


def test_cj_record_that_moves_on_is_news_and_one_that_does_not_is_none() -> None:
    new, again, closed = (one("cj", body(cj(actionStatus=word))) for word in ("new", "new", "closed"))
    assert new.external_event_id == again.external_event_id != closed.external_event_id
    assert said(closed)["occurred_at"] == NOW
    # A date to come is not when it was said.
    assert said(one("cj", body(cj(actionStatus="locked"))))["occurred_at"] == NOW


def correction(number: int, sale: str, commission: str, **changes: Any) -> AdaptedEvent:
    fields = {"commissionId": f"c{number}", "original": False, "correctionReason": "RETURNED_MERCHANDISE"}
    amounts = {"saleAmountPubCurrency": sale, "pubCommissionAmountPubCurrency": commission}
    return one("cj", body(cj(**fields, **amounts, postingDate=f"2025-11-{10 + number}T00:00:00Z", **changes)))


def test_cj_correction_is_one_change_in_whatever_state_it_is_told() -> None:
    row, later = correction(1, "-25.47", "-2.55"), correction(1, "-25.47", "-2.55", actionStatus="closed")
    fields = said(row)
    assert (fields["order_amount_minor"], fields["commission_minor"]) == (-2547, -255)
    assert (fields["amounts"], fields["reason"]) == ("change", "RETURNED_MERCHANDISE")
    assert row.external_event_id == later.external_event_id != correction(2, "-25.47", "-2.55").external_event_id


ADMITAD = {
    "admitad_id": "3344556",
    "offer_id": "77",
    "subid": CLICK,
    "payment_status": "pending",
    "order_id": "A-1",
    "order_sum": "1499.90",
    "payment_sum": "74.995",
    "currency": "INR",
    "time": "1763460000",
    "tariff_id": "12",
}


@pytest.mark.parametrize("send", [get, form])
def test_admitad_calls_with_its_macros(send: Any) -> None:
    assert said(one("admitad", send(**ADMITAD))) == {
        "conversion_id": "3344556",
        "click_id": CLICK,
        "merchant": "daraz",
        "status": "pending",
        "order_amount_minor": 149990,
        "commission_minor": 7500,
        "currency": "INR",
        "rate_category": "12",
        "occurred_at": datetime.fromtimestamp(1763460000, UTC),
    }


def test_admitad_decision_comes_to_hold_when_it_is_heard_of() -> None:
    fields = said(one("admitad", get(**ADMITAD | {"payment_status": "approved"})))
    assert fields["occurred_at"] == NOW
    assert adapters.DEFAULT_MAPPINGS["admitad"]["6"] == ConversionState.APPROVED


IMPACT: dict[str, Any] = {
    "campaign_id": "10306",
    "action_id": "1234567890",
    "status": "PENDING",
    "payout": "5.00",
    "currency": "USD",
    "sub_id1": CLICK,
    "event_date": "2025-11-20T10:00:00-08:00",
    "items": [{"sku": "APP-0016", "qty": "1", "amt": "719.10"}, {"sku": "APP-0017", "qty": "2", "amt": "10"}],
}


def test_impact_notifies_with_json_named_by_a_template() -> None:
    adapted = one("impact", body(IMPACT))
    assert said(adapted) == {
        "conversion_id": "1234567890",
        "click_id": CLICK,
        "merchant": "daraz",
        "status": "PENDING",
        "order_amount_minor": 72910,
        "commission_minor": 500,
        "currency": "USD",
        "line_items": (line("APP-0016", "", 1, 71910), line("APP-0017", "", 2, 1000)),
        "occurred_at": datetime(2025, 11, 20, 10, tzinfo=datetime.fromisoformat(IMPACT["event_date"]).tzinfo),
    }


def test_impact_action_that_changes_keeps_its_id_and_tells_all_of_it() -> None:
    row: dict[str, Any] = {
        "Id": "1234567890",
        "State": "APPROVED",
        "Amount": "100.00",
        "Payout": "3.10",
        "Currency": "USD",
    }
    row |= {"SubId1": CLICK, "CampaignId": 10306, "ModificationDate": "2025-11-25T00:00:00Z", "CustomerStatus": "New"}
    fields = said(one("impact", body({"Actions": [row]})))
    assert (fields["order_amount_minor"], fields["commission_minor"]) == (10000, 310)
    assert (fields["customer_type"], fields["occurred_at"]) == ("new", datetime(2025, 11, 25, tzinfo=UTC))
    changed = one("impact", body({"Actions": [row | {"Amount": "50.00"}]}))
    assert said(changed)["conversion_id"] == "1234567890"
    assert changed.external_event_id != one("impact", body({"Actions": [row]})).external_event_id


def test_impact_calls_with_a_query_too() -> None:
    fields = said(one("impact", get(action_id="7", status="REVERSED", payout="0.00", currency="USD")))
    assert (fields["status"], fields["commission_minor"], fields["occurred_at"]) == ("REVERSED", 0, NOW)


def test_standard_shape_may_name_its_message() -> None:
    sale = {"conversion_id": "sale-1", "status": "new", "occurred_at": "2025-11-28T10:00:00Z"}
    assert one("standard", body(sale | {"event_id": "m-1"})).external_event_id == "m-1"
    assert one("standard", body(sale)).external_event_id == one("standard", body(sale)).external_event_id
    assert "twice" in one("standard", Postback("POST", b"", "", b'{"status": "a", "status": "b"}', NOW)).fault


def test_only_a_change_is_below_zero() -> None:
    sale = {"conversion_id": "sale-1", "status": "new", "occurred_at": "2025-11-28T10:00:00Z"}
    sale |= {"order_amount_minor": -1, "currency": "PKR"}
    assert one("standard", body(sale)).fault == "order_amount_minor: only a change may be below zero"
    assert said(one("standard", body(sale | {"amounts": "change"})))["order_amount_minor"] == -1


@pytest.mark.parametrize("kind", adapters.KINDS)
@pytest.mark.parametrize(
    "postback",
    [
        get(),
        Postback("POST", b"", "application/json", b"{", NOW),
        Postback("POST", b"", "application/json", b"[1, null, []]", NOW),
        Postback("POST", b"", "application/json", b'{"data": 7, "items": 7, "Actions": 7, "saleAmount": []}', NOW),
        Postback("POST", b"", "application/x-www-form-urlencoded", b"AwinTransactionPush=%ff", NOW),
        Postback("POST", b"\xff", "text/plain", b"\x00", NOW),
        body({"records": [{"commissionId": {"a": 1}, "items": ["x"]}], "id": [], "status": "\x00"}),
    ],
    ids=str,
)
def test_whatever_comes_is_an_event_with_a_fault_and_is_kept(kind: str, postback: Postback) -> None:
    settings = AdapterSettings(mapping={"fields": {"conversion_id": "id", "status": "status"}})
    events = adapt(kind, postback, settings)
    assert events
    for event in events:
        assert event.event is None
        assert event.fault
        assert event.raw == postback.raw if len(events) == 1 else event.raw in postback.raw
        assert 0 < len(event.external_event_id) <= 200


@pytest.mark.parametrize(
    ("kind", "postback"),
    [
        ("awin", form(AwinTransactionPush=orjson.dumps(AWIN_PUSH).decode())),
        ("cj", body(cj())),
        ("admitad", get(**ADMITAD)),
        ("impact", body(IMPACT)),
    ],
    ids=["awin", "cj", "admitad", "impact"],
)
def test_same_words_again_are_the_same_event(kind: str, postback: Postback) -> None:
    later = Postback(postback.method, postback.query, postback.content_type, postback.body, NOW + timedelta(days=1))
    assert one(kind, postback).external_event_id == one(kind, later).external_event_id
    assert one(kind, postback).raw == one(kind, later).raw


@pytest.mark.parametrize("kind", ["awin", "cj", "admitad", "impact"])
def test_unknown_merchant_is_left_to_the_click(kind: str) -> None:
    sent = {"awin": form(AwinTransactionPush=orjson.dumps(AWIN_PUSH).decode()), "cj": body(cj())}
    sent |= {"admitad": get(**ADMITAD), "impact": body(IMPACT)}
    assert "merchant" not in said(one(kind, sent[kind], AdapterSettings()))


def test_every_word_of_the_default_mappings_is_one_of_our_states() -> None:
    for words in adapters.DEFAULT_MAPPINGS.values():
        assert all(word == word.lower() for word in words)
        assert {ConversionState(state) for state in words.values()} <= set(ConversionState)


def test_unknown_adapter_is_named() -> None:
    with pytest.raises(adapters.AdapterUnknown, match="awin"):
        adapt("tradedoubler", get(), SETTINGS)
