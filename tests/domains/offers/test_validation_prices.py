"""The rules for prices, sales, times and coupons of a pushed item."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.domains.offers.validated import NOW, Change, accepted, refused
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


def with_sale(amount_minor: int, currency: str = "PKR", starts_in: int | None = None) -> Change:
    def change(offer: pb.Offer) -> None:
        offer.sale_price.amount_minor, offer.sale_price.currency = amount_minor, currency
        if starts_in is not None:
            offer.sale_starts_at.FromDatetime(NOW + timedelta(days=starts_in))
            offer.sale_ends_at.FromDatetime(NOW)

    change.__name__ = f"{amount_minor} {currency}"
    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_sale(129_900), "SALE_PRICE_NOT_LOWER"),
        (with_sale(200_000), "SALE_PRICE_NOT_LOWER"),
        (with_sale(0), "SALE_PRICE_NOT_LOWER"),
        (with_sale(99_900, "USD"), "SALE_CURRENCY_DIFFERS"),
        (with_sale(99_900, "PKR", starts_in=1), "SALE_INTERVAL_INVALID"),
    ],
)
def test_a_sale_that_makes_no_sense_leaves_the_regular_price(change: Change, code: str) -> None:
    offer, warnings = accepted(change)
    assert warnings == [code]
    assert (offer.price_minor, offer.sale_price_minor, offer.sale_ends_at) == (129_900, None, None)


def test_a_sale_price_alone_is_left_out() -> None:
    def change(offer: pb.Offer) -> None:
        make_coupon(offer)
        offer.sale_price.amount_minor, offer.sale_price.currency = 99_900, "PKR"

    offer, warnings = accepted(change)
    assert (offer.price_minor, offer.sale_price_minor, warnings) == (None, None, ["SALE_PRICE_WITHOUT_PRICE"])


def test_a_sale_may_have_no_start_no_end_and_the_merchants_currency() -> None:
    offer, warnings = accepted(with_sale(129_899, ""))
    assert (offer.sale_price_minor, offer.sale_starts_at, offer.sale_ends_at, warnings) == (129_899, None, None, [])


def test_the_times_of_a_sale_stand_only_beside_a_sale_price() -> None:
    offer, warnings = accepted(lambda offer: offer.sale_ends_at.FromDatetime(NOW))
    assert (offer.sale_ends_at, warnings) == (None, [])


def test_a_price_has_only_the_limits_of_its_type() -> None:
    assert accepted(lambda offer: setattr(offer.price, "amount_minor", 2**63 - 1))[0].price_minor == 2**63 - 1
    assert accepted(lambda offer: setattr(offer.price, "amount_minor", 1))[0].price_minor == 1


def test_a_price_of_nothing_is_refused_for_a_product_only() -> None:
    assert refused(lambda offer: offer.price.Clear()) == ["PRICE_ZERO"], "it is there, and empty"

    def change(offer: pb.Offer) -> None:
        make_coupon(offer)
        offer.price.SetInParent()

    offer, warnings = accepted(change)
    assert (offer.price_minor, offer.currency, warnings) == (0, "PKR", [])


def test_a_price_without_currency_is_in_the_merchants() -> None:
    offer, _ = accepted(lambda offer: offer.price.ClearField("currency"))
    assert offer.currency == "PKR"


def test_what_is_over_already_is_kept_with_a_warning() -> None:
    assert accepted(lambda offer: offer.expires_at.FromDatetime(NOW))[1] == ["EXPIRES_IN_PAST"]
    assert accepted(lambda offer: offer.ends_at.FromDatetime(NOW))[1] == ["ENDS_IN_PAST"]


def test_a_time_that_protobuf_could_not_mean_is_left_out() -> None:
    offer, warnings = accepted(lambda offer: setattr(offer.expires_at, "seconds", 10**15))
    assert (offer.expires_at, warnings) == (None, ["TIME_INVALID"])


def test_a_time_is_exact_to_the_microsecond_from_1970_to_9999() -> None:
    def change(offer: pb.Offer) -> None:
        offer.expires_at.seconds, offer.expires_at.nanos = 253_402_300_799, 999_999_999
        offer.starts_at.SetInParent()

    offer, warnings = accepted(change)
    assert warnings == []
    assert offer.expires_at == datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert offer.starts_at == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(253_402_300_800, 0), (-1, 0), (1, -1), (1, 10**9), (2**63 - 1, 0), (-(2**63), 0)]
)
def test_no_other_time_is_taken(seconds: int, nanos: int) -> None:
    def change(offer: pb.Offer) -> None:
        make_coupon(offer)
        offer.starts_at.seconds, offer.starts_at.nanos = seconds, nanos

    offer, warnings = accepted(change)
    assert (offer.starts_at, warnings) == (None, ["TIME_INVALID"])


def make_coupon(offer: pb.Offer) -> None:
    offer.kind, offer.coupon_code = pb.OFFER_KIND_COUPON, "EID10"
    offer.ClearField("price")
    offer.ClearField("availability")


def test_a_coupon_needs_a_code_but_no_price() -> None:
    offer, warnings = accepted(make_coupon)
    assert (offer.kind, offer.coupon_code, offer.price_minor, offer.currency) == ("coupon", "EID10", None, None)
    assert (offer.availability, warnings) == ("in_stock", [])


@pytest.mark.parametrize("days", [0, -1])
def test_an_interval_that_ends_before_it_starts_drops_the_row(days: int) -> None:
    def change(offer: pb.Offer) -> None:
        make_coupon(offer)
        offer.starts_at.FromDatetime(NOW)
        offer.ends_at.FromDatetime(NOW + timedelta(days=days))

    assert refused(change) == ["INTERVAL_INVALID"]
