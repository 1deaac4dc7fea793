"""Items are written without messages: byte for byte what serialising the message gives."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domains.offers.feeds.wire import encode_fields, encode_item, encode_offer
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
fields = st.fixed_dictionaries(
    {},
    optional={
        "size": texts,
        "offer_id": texts,
        "title": st.one_of(texts, st.integers(0, 20_000).map("ش".__mul__)),
        "product_types": st.lists(texts, max_size=3),
        "price": st.builds(dict, amount_minor=st.integers(0, 2**62), currency=texts),
        "availability": st.sampled_from([0, 1, 5]),
        "adult": st.booleans(),
        "cashback_eligible": st.booleans(),
        "custom_attributes": st.dictionaries(texts, texts, max_size=4),
    },
)
TIME = pb.OfferItem(source_time={"seconds": 1_700_000_000}).SerializeToString()  # type: ignore[arg-type]


def as_message(offer: dict[str, Any] | None, line: int, *issues: pb.Issue) -> bytes:
    item = pb.OfferItem.FromString(TIME)
    if offer is not None:
        item.offer.CopyFrom(pb.Offer(**offer))
    item.line = line
    item.issues.extend(issues)
    return item.SerializeToString(deterministic=True)


@given(fields, st.integers(1, 2**62))
@example({"title": "t" * 127, "size": "s" * 128}, 127)
@example({"title": "t" * 1023, "size": "s" * 1024}, 128)
def test_an_item_has_the_bytes_of_its_message(offer: dict[str, Any], line: int) -> None:
    assert encode_item(TIME, encode_offer(offer), line, ()) == as_message(offer, line)


@given(fields)
def test_fields_that_are_encoded_already_go_to_their_places(offer: dict[str, Any]) -> None:
    encoded = {name: encode_fields({name: value}) for name, value in offer.items()}
    assert encode_offer(encoded) == encode_offer(offer)


def test_an_item_without_an_offer_has_none_and_issues_come_last() -> None:
    issue = pb.Issue(code="NOTED", value="ش")
    assert encode_item(TIME, None, 7, ()) == as_message(None, 7)
    assert encode_item(TIME, encode_offer({"title": "T"}), 7, [issue]) == as_message({"title": "T"}, 7, issue)


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_offer({"title": "\ud800"})
