"""What holds for any input: short cuts for the ordinary case say what the rule says, and repaired is repaired."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import example, given
from hypothesis import strategies as st

from domains.offers.service.prepare import CONTENT_COLUMNS, DEFAULTS
from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item
from domains.offers.validation.columns import validate_ordinary
from domains.offers.validation.fields import is_gtin
from domains.offers.validation.links import Link, LinkProblem, are_ordinary_links, check_link, is_ordinary_link
from domains.offers.validation.text import clean, is_clean
from wapsi.rpc.offers.v1 import offer_item_head_pb2 as head_pb
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTS = frozenset({"shop.example", "دکان.example".encode("idna").decode()})
RULES = ValidationRules("PKR", ("shop.example", "دکان.example"), NOW)

_ODD = "\x07\t\n\x1c\x1f\x7f\x85\xa0\xad\u1680\u200b\u200c\u200d\u2028\u202a\u3000\ufeff\ue000\u0378\U000e0001"
texts = st.text(
    st.one_of(st.sampled_from('aZ0 "<>کé😀…' + _ODD), st.characters(exclude_categories=["Cs"])), max_size=30
)
long_texts = st.builds(lambda text, times: text * times, texts, st.sampled_from([1, 1, 1, 2, 5, 10, 50]))
links = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["https://", "http://", "HTTPS://", "https:/", "ftp://", "//", " https://", ""]),
        st.sampled_from(["", "", "www.", "a.b-c.", "user@", "-", "x" * 64 + ".", "evil", "evil.example/", "shop."]),
        st.sampled_from(
            ["shop.example", "SHOP.example", "shop.example.", "دکان.example", "evil.example", "1.2.3.4", ""]
        ),
        st.sampled_from(["", "", ":443", ":0", ":x", "@evil.example", "\\@evil.example", ".evil.example", " ", "\n"]),
        st.sampled_from(["", "/", "?", "#", "/a/b.html?c=d&e=%20#f", "/shop.example/", "/" + "a" * 1500]),
        st.one_of(st.just(""), texts, st.text(st.characters(max_codepoint=127), max_size=9)),
    ),
)
amounts = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, 99, 100, 129_900]))
times = st.builds(
    lambda seconds, nanos: pb.OfferItem().source_time.__class__(seconds=seconds, nanos=nanos),
    st.one_of(st.integers(0, 4_000_000_000), st.sampled_from([-1, 2**63 - 1, 253_402_300_799, 253_402_300_800])),
    st.one_of(st.just(0), st.integers(-1, 1_000_000_000)),
)
moneys = st.builds(pb.Money, amount_minor=amounts, currency=st.sampled_from(["", "PKR", "PKR", "USD", "pkr"]))
numbers = st.integers(-1, 7)


def mostly(usual: T, other: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """So that most offers are accepted."""
    return st.integers(0, 15).flatmap(lambda number: other if number == 0 else st.just(usual))


gtins = st.one_of(st.sampled_from(["4006381333931", "96385074", "400-638 1333931"]), st.text("0123456789", max_size=15))
fields: dict[str, st.SearchStrategy[object]] = {
    "offer_id": mostly("A-1", texts),
    "kind": mostly(pb.OFFER_KIND_PRODUCT, numbers),
    "title": mostly("Lawn Kurta", long_texts),
    "description": long_texts,
    "link": st.one_of(
        st.just("https://www.shop.example/a"), links.filter(lambda link: not isinstance(check_link(link), LinkProblem))
    ),
    "image_link": links,
    "additional_image_links": st.lists(links, max_size=3),
    "price": mostly(pb.Money(amount_minor=500, currency="PKR"), st.one_of(st.none(), moneys)),
    "sale_price": st.one_of(st.none(), moneys),
    "sale_starts_at": st.one_of(st.none(), times),
    "sale_ends_at": st.one_of(st.none(), times),
    "availability": mostly(pb.AVAILABILITY_LIMITED, numbers),
    "expires_at": st.one_of(st.none(), times),
    "gtins": st.lists(gtins, max_size=3),
    "mpn": long_texts,
    "brand": long_texts,
    "item_group_id": long_texts,
    "google_product_category": long_texts,
    "product_types": st.lists(long_texts, max_size=3),
    "condition": numbers,
    "color": long_texts,
    "size": long_texts,
    "gender": numbers,
    "age_group": numbers,
    "adult": st.booleans(),
    "rate_category": mostly("shoes", texts),
    "cashback_eligible": st.one_of(st.none(), st.booleans()),
    "custom_attributes": st.dictionaries(texts, long_texts, max_size=3),
    "coupon_code": mostly("", texts),
    "starts_at": st.one_of(st.none(), times),
    "ends_at": mostly(None, times),
}
offers = st.builds(pb.Offer, **fields)


def make_item(offer: pb.Offer) -> pb.OfferItem:
    item = pb.OfferItem(offer=offer)
    item.source_time.FromDatetime(NOW)
    return item


def plain_item(**fields: object) -> pb.OfferItem:
    """A valid product with these fields."""
    plain = {"offer_id": "A-1", "title": "Kurta", "link": "https://shop.example/a", "availability": 1}
    plain |= {"price": pb.Money(amount_minor=100)}  # type: ignore[dict-item]
    return make_item(pb.Offer(**(plain | fields)))  # type: ignore[arg-type]


def as_pushed(valid: ValidatedOffer) -> pb.OfferItem:
    """The item that says what the columns say."""
    values = {name: value for name, value in valid._asdict().items() if value is not None}
    currency = values.pop("currency", None)
    for field, column in (("price", "price_minor"), ("sale_price", "sale_price_minor")):
        if (amount_minor := values.pop(column, None)) is not None:
            values[field] = pb.Money(amount_minor=amount_minor, currency=currency)
    values["custom_attributes"] = json.loads(values.pop("custom_attributes_json"))
    for field, prefix in (("kind", "OFFER_KIND"), *((name, name.upper()) for name in CHOICES)):
        values[field] = f"{prefix}_{values[field].upper() or 'UNSPECIFIED'}"
    return make_item(pb.Offer(**values))


CHOICES = ("availability", "condition", "gender", "age_group")


@given(offers)
def test_what_validation_accepts_it_accepts_again_unchanged(offer: pb.Offer) -> None:
    valid, issues = validate_item(make_item(offer), RULES)
    if valid is None:
        assert any(issue.severity == pb.SEVERITY_ERROR for issue in issues)
        return
    assert all(issue.severity == pb.SEVERITY_WARNING and len(issue.value) <= 80 for issue in issues)
    again, issues = validate_item(as_pushed(valid), RULES)
    assert again is not None
    assert json.loads(again.custom_attributes_json) == json.loads(valid.custom_attributes_json)
    assert again._replace(custom_attributes_json=valid.custom_attributes_json) == valid
    assert {issue.code for issue in issues} <= {"EXPIRES_IN_PAST", "ENDS_IN_PAST"}


def noted(item: pb.OfferItem, severity: pb.Severity) -> pb.OfferItem:
    item.issues.append(pb.Issue(severity=severity, code="NOTED"))
    return item


def stated(item: pb.OfferItem, time: object) -> pb.OfferItem:
    item.source_time.CopyFrom(time)  # type: ignore[arg-type]
    return item


partly_odd = (
    st.sets(st.sampled_from([*sorted(fields), "delete"]), max_size=2)
    .flatmap(lambda names: st.fixed_dictionaries({name: fields.get(name, st.just(True)) for name in names}))
    .map(lambda chosen: plain_item(**chosen))
)
items = st.one_of(
    partly_odd,
    partly_odd,
    st.builds(noted, partly_odd, st.sampled_from([pb.SEVERITY_WARNING, pb.SEVERITY_ERROR])),
    st.builds(stated, partly_odd, times),
    st.builds(pb.OfferItem),
)


@given(st.lists(items, min_size=1, max_size=5))
def test_columns_have_what_validation_makes_of_each_item(several: list[pb.OfferItem]) -> None:
    columns, odd = validate_ordinary(head_pb.PushedItems(items=several), RULES)
    for place, item in enumerate(several):
        if place in odd:
            continue
        valid, issues = validate_item(item, RULES)
        assert valid is not None
        assert not issues
        assert not item.issues
        assert not item.offer.delete
        of_columns = [columns[name][place] if name in columns else DEFAULTS[name] for name in CONTENT_COLUMNS]
        assert (columns["offer_id"][place], *of_columns) == valid


def test_offers_of_which_there_is_nothing_to_say_are_ordinary() -> None:
    full = plain_item(
        description="D", image_link="https://i.example/1", additional_image_links=["https://i.example/2"], mpn="m",
        sale_price=pb.Money(amount_minor=50), gtins=["4006381333931"], brand="B", item_group_id="g", color="red",
        google_product_category="A > B", product_types=["A > B"], condition=1, size="M", gender=2, age_group=5,
        adult=True, rate_category="shoes", cashback_eligible=False, custom_attributes={"a": "b"}, coupon_code="C",
    )  # fmt: skip
    full.offer.expires_at.FromDatetime(NOW + timedelta(days=1))
    several = [plain_item(), full, plain_item(kind=1, availability=5)]
    columns, odd = validate_ordinary(head_pb.PushedItems(items=several), RULES)
    assert odd == set()
    assert columns.keys() == {"offer_id", *CONTENT_COLUMNS} - {"starts_at", "ends_at"}


def test_unknown_fields_of_an_offer_are_in_no_column() -> None:
    """Numbers (of field 20, packed) where one is expected: a reader of columns would take them for one more value."""
    strange = plain_item(condition=1).SerializeToString()
    offer = plain_item().offer.SerializeToString() + b"\xa2\x01\x01\x02"
    item = pb.OfferItem(source_time=plain_item().source_time).SerializeToString() + bytes([0x12, len(offer)]) + offer
    batch = head_pb.PushedItems(items=[pb.OfferItem.FromString(data) for data in (strange, item)])
    columns, odd = validate_ordinary(batch, RULES)
    assert (columns["condition"], odd) == (["new", ""], set())


def test_lists_of_one_and_of_two_keep_their_offers() -> None:
    several = [plain_item(product_types=["A", "B"], gtins=["96385074"]), plain_item(gtins=["4006381333931"])]
    columns, odd = validate_ordinary(head_pb.PushedItems(items=several), RULES)
    assert (columns["product_types"], columns["gtins"]) == ([["A", "B"], []], [["96385074"], ["4006381333931"]])
    assert odd == set()


@given(offers)
def test_the_message_is_left_as_it_was(offer: pb.Offer) -> None:
    item, same = make_item(offer), make_item(offer)
    validate_item(item, RULES)
    assert item == same


@given(links)
@example("https://shop.example/")
@example("https://shop.exampl/e")
@example("https://shop.example")
@example("http:///shop.example/")
@example("https://shop.example:443/")
@example("https://shop.example@evil.example/")
@example("https://evil.example?shop.example/")
@example("https://shop.example/" + "a" * 1980)
@example("https://shop.examples")
@example("https://shop.example/\x7f")
@example("https://shop.example/a b")
@example('https://shop.example/a"b')
@example("https://shop.example/a<b")
@example("https://shop.example/a>b")
@example("https://shop.example/a\\b")
def test_the_short_cut_for_links_agrees_with_the_rule(link: str) -> None:
    read = check_link(link)
    if is_ordinary_link(link, None):
        assert isinstance(read, Link)
        assert read.url == link
    if is_ordinary_link(link, HOSTS):
        assert isinstance(read, Link)
        assert read.url == link
        assert RULES.allows_host(read.host)


@given(st.lists(links, min_size=1, max_size=3))
@example(["https://shop.example/a,b", "https://shop.example/"])
def test_many_links_are_ordinary_where_each_is(several: list[str]) -> None:
    assert are_ordinary_links(several, HOSTS) == all(is_ordinary_link(link, HOSTS) for link in several)


def test_the_short_cut_for_links_is_taken() -> None:
    assert is_ordinary_link("https://www.shop.example/a-1.html?b=c&d=%20#e", HOSTS)
    assert is_ordinary_link("https://images.example/1.jpg", None)
    assert not is_ordinary_link("https://images.example/1.jpg", HOSTS)
    assert not is_ordinary_link("https://images.example/1.jpg", frozenset())


def one_after_the_other(text: str) -> tuple[str, bool]:
    """What clean() is to do, said of each character."""
    kept, removed = "", False
    for character in text:
        if character.isprintable() or character in "\u200c\u200d":
            kept += character
        elif character.isspace() and character not in "\x1c\x1d\x1e\x1f":
            kept += " "
        elif unicodedata.category(character) in ("Cc", "Cf"):
            removed = True
        else:
            kept += character
    return " ".join(kept.split()), removed


@given(texts)
@example("\x1c")
@example("a\x1fb")
@example("a \u200b b")
@example("\u200c")
@example("می\u200cخواہم\u00a0\u200c")
def test_text_is_cleaned_character_by_character(text: str) -> None:
    assert clean(text) == one_after_the_other(text)
    if is_clean(text):
        assert clean(text) == (text, False)


def test_every_character_that_cannot_be_seen_is_treated_alike() -> None:
    for character in map(chr, range(0x110000)):
        if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            text = f"a{character}b"
            assert clean(text) == one_after_the_other(text), hex(ord(character))


@given(st.dictionaries(texts, long_texts, min_size=1, max_size=4))
@example({"": ""})
@example({"a": "", "b": " "})
@example({"a ": "x"})
@example({"a": "b", " c": "d"})
@example({"n" * 51: "x"})
@example({"n": "x" * 501})
def test_custom_attributes_are_repaired_one_by_one(stated: dict[str, str]) -> None:
    offer, issues = validate_item(plain_item(custom_attributes=stated), RULES)
    expected: dict[str, str] = {}
    for name in sorted(stated):
        cleaned, value = clean(name)[0], clean(stated[name])[0]
        if 0 < len(cleaned) <= 50:
            expected[cleaned] = value
    if offer is None:
        assert {issue.code for issue in issues if issue.severity == pb.SEVERITY_ERROR} == {"NUL_CHARACTER"}
        return
    kept = json.loads(offer.custom_attributes_json)
    assert list(kept) == list(expected)
    assert all(
        kept[name] == value or (len(value) > 500 >= len(kept[name]) and kept[name].endswith("…"))
        for name, value in expected.items()
    )
    if not issues:
        assert kept == expected


@given(st.text("0123456789", max_size=15))
def test_a_gtin_is_told_by_its_check_digit(digits: str) -> None:
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    assert is_gtin(digits) == (len(digits) in (8, 12, 13, 14) and weighted % 10 == 0 and int(digits) > 0)


@given(st.integers(0, 253_402_300_799), st.integers(0, 999_999_999))
def test_a_time_is_that_of_the_timestamp(seconds: int, nanos: int) -> None:
    item = plain_item()
    item.offer.starts_at.seconds, item.offer.starts_at.nanos = seconds, nanos
    offer, issues = validate_item(item, RULES)
    assert offer is not None
    assert (offer.starts_at, issues) == (item.offer.starts_at.ToDatetime(tzinfo=UTC), [])


@given(times)
def test_a_source_time_is_taken_from_1970_to_a_day_ahead(stated: object) -> None:
    item = plain_item()
    item.source_time.CopyFrom(stated)  # type: ignore[arg-type]
    seconds, nanos = item.source_time.seconds, item.source_time.nanos
    good = 0 <= nanos < 10**9 and timedelta(0) < timedelta(
        seconds=min(max(seconds, -1), 10**12), microseconds=nanos // 1000
    ) <= NOW + timedelta(days=1) - datetime(1970, 1, 1, tzinfo=UTC)
    assert (validate_item(item, RULES)[0] is not None) == good
