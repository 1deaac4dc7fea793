"""What a sale earns: integers, cut toward zero, capped, and with the reasons."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cashback.service.events import LineItem
from domains.cashback.service.pricing import CurrencyMismatch, Price, price
from domains.cashback.service.receipts import Receipt
from domains.merchants.service import ClawbackTerms, ConfirmationTerms, CustomerType, Rate, RateKind, RateSchedule

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
NOBODY = UUID(int=0)


def percent(bps: int, category: str = "", kind: str = "unknown", cap_minor: int | None = None) -> Rate:
    return Rate(category, CustomerType(kind), RateKind.PERCENT, bps, None, "PKR", cap_minor)


def fixed(amount_minor: int) -> Rate:
    return Rate("", CustomerType.UNKNOWN, RateKind.FIXED, None, amount_minor, "PKR")


def receipt(*rates: Rate, **changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "click_id": NOBODY,
        "customer_id": NOBODY,
        "clicked_at": MOMENT,
        "merchant": "daraz",
        "merchant_id": NOBODY,
        "offer_id": None,
        "offer_title": None,
        "offer_category": None,
        "eligible": True,
        "currency": "PKR",
        "schedule": RateSchedule(NOBODY, 1, MOMENT, None, rates, "", ""),
        "click_window_days": 30,
        "validation_days": 45,
        "confirmation": ConfirmationTerms.ON_APPROVAL,
        "clawback": ClawbackTerms.OWED,
        "expected_tracking_at": MOMENT,
        "expected_confirmation_at": MOMENT,
    }
    return Receipt(**(fields | changes))


def priced(promise: Receipt, amount_minor: int, category: str = "", customer_type: str = "unknown") -> Price:
    return price(
        promise,
        order_amount_minor=amount_minor,
        currency="PKR",
        rate_category=category,
        customer_type=customer_type,
    )


@given(st.integers(0, 10**15), st.integers(0, 10_000), st.integers(1, 10**9) | st.none())
def test_percentage_is_the_floor_and_never_above_the_cap(amount: int, bps: int, cap: int | None) -> None:
    earned = priced(receipt(percent(bps, cap_minor=cap)), amount).amount_minor
    exact = amount * bps
    assert type(earned) is int
    assert earned <= amount
    if cap is None or exact // 10_000 <= cap:
        assert earned * 10_000 <= exact < (earned + 1) * 10_000
    else:
        assert earned == cap


def test_fixed_rate_does_not_depend_on_the_amount() -> None:
    assert priced(receipt(fixed(5_000)), 1).amount_minor == 5_000


def test_calculation_is_told_in_steps() -> None:
    assert priced(receipt(percent(550, cap_minor=100)), 10_000).steps == (
        "The sale: PKR 100.00.",
        "5.50 % of it, cut to the minor unit: PKR 5.50.",
        "No more than the cap: PKR 1.00.",
    )


def test_rates_that_did_not_match_come_with_the_reason() -> None:
    promise = receipt(percent(500), percent(800, kind="new"), percent(200, "phones"), percent(300, "shoes"))
    found = priced(promise, 10_000, "phones", "existing")
    assert found.rate == percent(200, "phones")
    assert {(rate.rate_category, str(rate.customer_type)): why for rate, why in found.others} == {
        ("", "unknown"): "the category phones has a rate of its own",
        ("", "new"): "it is for new customers, and this one was reported as existing",
        ("shoes", "unknown"): "it is for the category shoes",
    }


def test_category_of_the_offer_holds_where_the_sale_names_none() -> None:
    promise = receipt(percent(500), percent(200, "phones"), offer_category="phones")
    assert priced(promise, 10_000).amount_minor == 200


def test_offer_that_is_not_eligible_earns_nothing() -> None:
    found = priced(receipt(percent(500), eligible=False), 10_000)
    assert (found.amount_minor, found.rate) == (0, None)


def test_nothing_is_converted() -> None:
    with pytest.raises(CurrencyMismatch):
        price(receipt(percent(1)), order_amount_minor=1, currency="USD", rate_category="", customer_type="new")


def of_lines(promise: Receipt, amount_minor: int, *lines: LineItem, category: str = "") -> Price:
    return price(
        promise,
        order_amount_minor=amount_minor,
        currency="PKR",
        rate_category=category,
        customer_type="unknown",
        lines=lines,
    )


PHONE = LineItem("A-1", "phones", 1, 60_000)
SHOES = LineItem("B-1", "shoes", 2, 40_000)


def test_each_line_earns_by_the_rate_of_its_category() -> None:
    found = of_lines(receipt(percent(500), percent(200, "phones")), 100_000, PHONE, SHOES)
    assert found.amount_minor == 1_200 + 2_000
    assert found.steps == (
        "The sale: PKR 1,000.00.",
        "2.00 % of PKR 600.00 for 1 line of phones, cut to the minor unit: PKR 12.00.",
        "5.00 % of PKR 400.00 for 1 line of shoes, cut to the minor unit: PKR 20.00.",
        "Together: PKR 32.00.",
    )
    parts = found.as_json()["parts"]
    assert [(part["percent_bps"], part["reward_minor"]) for part in parts] == [(200, 1_200), (500, 2_000)]
    assert parts[0]["lines"] == [{"sku": "A-1", "category": "phones", "quantity": 1, "amount_minor": 60_000}]


def test_line_without_a_category_has_that_of_the_sale() -> None:
    promise = receipt(percent(500), percent(200, "phones"))
    assert of_lines(promise, 60_000, LineItem("A-1", "", 1, 60_000), category="phones").amount_minor == 1_200


def test_cap_and_fixed_amount_hold_for_the_order_not_for_each_line() -> None:
    lines = [LineItem(f"A-{number}", "phones", 1, 10_000) for number in range(3)]
    assert of_lines(receipt(percent(1_000, cap_minor=1_500)), 30_000, *lines).amount_minor == 1_500
    assert of_lines(receipt(fixed(700)), 30_000, *lines).amount_minor == 700


def test_what_is_taken_off_the_order_is_shared_among_its_lines() -> None:
    found = of_lines(receipt(percent(0), percent(1_000, "phones")), 50_000, PHONE, SHOES)
    assert found.amount_minor == 3_000
    assert "shared among them" in found.steps[1]


def test_what_an_order_costs_beside_its_lines_has_the_category_of_the_sale() -> None:
    found = of_lines(receipt(percent(500), percent(200, "phones")), 70_000, PHONE)
    assert found.amount_minor == 1_200 + 500


def test_fixed_amount_is_gone_with_the_last_line_of_its_rate() -> None:
    found = of_lines(receipt(fixed(700), percent(200, "phones")), 60_000, PHONE, LineItem("B-1", "shoes", 0, 0))
    assert found.amount_minor == 1_200
    assert of_lines(receipt(fixed(700)), 0, LineItem("B-1", "shoes", 0, 0)).amount_minor == 0


LINES = st.lists(
    st.builds(LineItem, st.just("A"), st.sampled_from(["", "a", "b"]), st.integers(0, 3), st.integers(0, 10**6)),
    min_size=1,
    max_size=6,
)


@given(LINES, st.integers(0, 10**7))
def test_lines_are_priced_for_exactly_what_the_order_costs(lines: list[LineItem], amount_minor: int) -> None:
    promise = receipt(percent(500), percent(10_000, "a"), percent(0, "b"))
    parts = of_lines(promise, amount_minor, *lines).parts
    assert sum(part.amount_minor for part in parts) == (amount_minor if parts else 0)
    assert all(part.amount_minor >= 0 for part in parts)
    assert parts or (amount_minor == 0 and not any(line.amount_minor or line.quantity for line in lines))
