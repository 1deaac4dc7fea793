"""The generated shops: the same bytes for the same seed, and nothing in them that validation would refuse."""

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domains.merchants.service.tracking import check_deep_link_template, check_landing_hosts
from domains.offers.feeds import FeedOptions, open_feed
from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.samples import DEFAULT_AS_OF, SampleShop, generate


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> list[SampleShop]:
    return generate(tmp_path_factory.mktemp("samples"))


def read(shop: SampleShop) -> list[pb.OfferItem]:
    options = FeedOptions(
        default_currency=shop.currency, source_time=DEFAULT_AS_OF, column_mapping=dict(shop.column_mapping)
    )
    with shop.feed_path.open("rb") as file, open_feed(file, name=shop.feed_path.name, options=options) as feed:
        items = list(feed.items())
    assert feed.format == shop.feed_format
    return items


def validate(shop: SampleShop) -> list[ValidatedOffer]:
    """Fails on any issue at all."""
    rules = ValidationRules(shop.currency, (shop.host,), DEFAULT_AS_OF + timedelta(hours=1))
    offers = []
    for item in read(shop):
        offer, issues = validate_item(item, rules)
        assert not issues, f"{shop.slug} {item.offer.offer_id}: {issues}"
        assert not item.issues, f"{shop.slug} line {item.line}: {list(item.issues)}"
        assert offer is not None
        offers.append(offer)
    return offers


def test_there_are_five_shops_and_about_three_thousand_offers(shops: list[SampleShop]) -> None:
    assert len({shop.slug for shop in shops}) == 5
    assert sum(shop.offer_count for shop in shops) == 3_020
    assert Counter(shop.currency for shop in shops) == {"PKR": 4, "AED": 1}
    assert {shop.feed_format for shop in shops} == {"google_xml", "google_tsv", "awin_csv", "jsonl"}


def test_every_sample_offer_is_valid_without_a_warning(shops: list[SampleShop]) -> None:
    for shop in shops:
        offers = validate(shop)
        assert len(offers) == shop.offer_count
        assert len({offer.offer_id for offer in offers}) == shop.offer_count


def test_offers_use_the_rate_categories_of_their_shop(shops: list[SampleShop]) -> None:
    for shop in shops:
        paid = {rate.rate_category for rate in shop.rates}
        assert {offer.rate_category for offer in validate(shop)} == paid, shop.slug


def test_a_share_of_titles_is_urdu_and_some_offers_are_on_sale(shops: list[SampleShop]) -> None:
    offers = [offer for shop in shops for offer in validate(shop)]
    urdu = sum(any("\u0600" <= letter <= "\u06ff" for letter in offer.title) for offer in offers)
    on_sale = sum(offer.sale_price_minor is not None for offer in offers)
    assert 0.1 < urdu / len(offers) < 0.35
    assert 0.1 < on_sale / len(offers) < 0.4
    assert any(offer.sale_ends_at is not None for offer in offers)


def test_each_shop_has_a_default_two_categories_a_fixed_rate_and_a_cap(shops: list[SampleShop]) -> None:
    for shop in shops:
        assert any(
            not rate.rate_category and rate.percent_bps and rate.customer_type == "unknown" for rate in shop.rates
        )
        assert len({rate.percent_bps for rate in shop.rates if rate.percent_bps}) == 3
        assert sum(rate.fixed_minor is not None for rate in shop.rates) == 1
        assert sum(rate.cap_minor is not None for rate in shop.rates) == 1


def test_hosts_and_deep_links_are_what_merchants_may_have(shops: list[SampleShop]) -> None:
    for shop in shops:
        assert check_landing_hosts([shop.host]) == [shop.host]
        assert check_deep_link_template(shop.deep_link_template) == shop.deep_link_template
        # Reserved by RFC 2606: no click leads to anybody.
        assert shop.host.endswith(".example")


def test_the_same_seed_gives_the_same_bytes(shops: list[SampleShop], tmp_path: Path) -> None:
    again = generate(tmp_path / "again")
    assert [shop.feed_path.read_bytes() for shop in again] == [shop.feed_path.read_bytes() for shop in shops]


def test_another_seed_gives_other_offers(shops: list[SampleShop], tmp_path: Path) -> None:
    other = generate(tmp_path / "other", seed=1)
    for one, another in zip(shops, other, strict=True):
        assert one.feed_path.read_bytes() != another.feed_path.read_bytes(), one.slug


def test_as_of_moves_source_times_and_sales(tmp_path: Path) -> None:
    as_of = datetime(2026, 6, 1, 12, tzinfo=UTC)
    shops = {shop.feed_format: shop for shop in generate(tmp_path, as_of=as_of)}
    assert {item.source_time.ToDatetime(UTC) for item in read(shops["jsonl"])} == {as_of}
    ends = {
        item.offer.sale_ends_at.ToDatetime(UTC)
        for item in read(shops["google_tsv"])
        if item.offer.HasField("sale_ends_at")
    }
    assert ends == {as_of + timedelta(days=27)}


def test_the_command_writes_the_same_files(shops: list[SampleShop], tmp_path: Path) -> None:
    # PYTHONHASHSEED differs between processes: nothing may depend on the order of sets.
    done = subprocess.run(
        [sys.executable, "-m", "wapsi.samples", str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert len(done.stdout.splitlines()) == 5
    for shop in shops:
        assert (tmp_path / shop.feed_path.name).read_bytes() == shop.feed_path.read_bytes()
