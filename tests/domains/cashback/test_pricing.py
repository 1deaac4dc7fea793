"""What a sale earns: integers, cut toward zero, capped, and with the reasons."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cashback.service.pricing import CurrencyMismatch, Price, price
from domains.cashback.service.receipts import Receipt
from domains.merchants.service import CustomerType, Rate, RateKind, RateSchedule

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
