"""The checksum depends on every item, byte for byte, and its place, and not on how items were batched."""

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wapsi.producer.checksum import CHECKSUM_BYTES, EMPTY_CHECKSUM, combine
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


def item(number: int = 1) -> pb.OfferItem:
    offer = pb.Offer(offer_id=f"o{number}", title="Ring", link="https://a.example/1", description="d")
    offer.price.amount_minor = 1250
    offer.price.currency = "PKR"
    made = pb.OfferItem(offer=offer, line=3)
    made.source_time.seconds = 1_800_000_000
    made.source_time.nanos = 5
    return made


def serialised(items: Sequence[pb.OfferItem]) -> list[bytes]:
    return [made.SerializeToString(deterministic=True) for made in items]


def of(*items: pb.OfferItem) -> bytes:
    return combine(EMPTY_CHECKSUM, 0, serialised(items))


def test_nothing_sums_to_nothing() -> None:
    assert of() == EMPTY_CHECKSUM == bytes(CHECKSUM_BYTES)


def test_the_published_example_does_not_change() -> None:
    """Producers in other languages compute it too: a change here breaks them."""
    assert of(item(1), item(2)).hex() == "dd87aa5abafb609f86ec79d44b4123b7"


@given(cuts=st.lists(st.integers(0, 12), max_size=4))
def test_batches_do_not_matter(cuts: list[int]) -> None:
    items = [item(number) for number in range(12)]
    total = EMPTY_CHECKSUM
    edges = [0, *sorted(cuts), 12]
    for start, end in itertools.pairwise(edges):
        total = combine(total, start, serialised(items[start:end]))
    assert total == of(*items)


def test_order_repetition_and_omission_matter() -> None:
    a, b = item(1), item(2)
    assert len({of(a, b), of(b, a), of(a), of(b), of(a, a), of(a, b, b), of(a, a, b)}) == 7


def _price(made: pb.OfferItem) -> None:
    made.offer.price.amount_minor = -1250


def _currency(made: pb.OfferItem) -> None:
    made.offer.price.currency = "USD"


def _no_price(made: pb.OfferItem) -> None:
    made.offer.ClearField("price")


def _free(made: pb.OfferItem) -> None:
    made.offer.price.Clear()


def _delete(made: pb.OfferItem) -> None:
    made.offer.delete = True


def _no_offer(made: pb.OfferItem) -> None:
    made.ClearField("offer")


def _seconds(made: pb.OfferItem) -> None:
    made.source_time.seconds += 1


def _nanos(made: pb.OfferItem) -> None:
    made.source_time.nanos += 1


def _title(made: pb.OfferItem) -> None:
    made.offer.title = "انگوٹھی"


@pytest.mark.parametrize("change", [_price, _currency, _no_price, _free, _delete, _no_offer, _seconds, _nanos, _title])
def test_every_field_of_it_matters(change: Callable[[pb.OfferItem], None]) -> None:
    changed = item()
    change(changed)
    assert of(changed) != of(item())


def test_an_item_without_a_price_and_a_free_one_differ() -> None:
    free, priceless = item(), item()
    _free(free)
    _no_price(priceless)
    assert free.offer.HasField("price")
    assert of(free) != of(priceless)
