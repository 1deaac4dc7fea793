"""Real feeds against what was counted in them. Skipped where they are not at hand."""

import gzip
import io
import tarfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from domains.offers.feeds import FeedError, FeedOptions, open_feed, parse_column_mapping
from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item

NOW = datetime(2026, 11, 1, tzinfo=UTC)
THAI = ["offer_id=sku", "title=name_th,name", "link=url", "image_link=image_url", "availability=stock"]


@dataclass(frozen=True, slots=True)
class Counted:
    format: str
    rows: int
    offers: list[ValidatedOffer]
    codes: Counter[str]

    @property
    def ids(self) -> set[str]:
        return {offer.offer_id for offer in self.offers}


def count(
    path: Path, currency: str, maps: list[str] | None = None, hosts: tuple[str, ...] | None = None, **options: Any
) -> Counted:
    settings = FeedOptions(currency, NOW, column_mapping=parse_column_mapping(maps or []), **options)
    rules = ValidationRules(currency, hosts, NOW)
    offers: list[ValidatedOffer] = []
    codes: Counter[str] = Counter()
    rows = 0
    with path.open("rb") as file, open_feed(file, name=path.name, options=settings) as feed:
        for item in feed.items():
            rows += 1
            offer, issues = validate_item(item, rules)
            codes.update(issue.code for issue in [*item.issues, *issues])
            if offer is not None:
                offers.append(offer)
    return Counted(feed.format, rows, offers, codes)


def test_boonthavorn_is_valid_as_a_whole(shared_data: Path) -> None:
    found = count(shared_data / "feeds/thai_boonthavorn.jsonl.zst", "THB", [*THAI, "brand=="], ("boonthavorn.com",))
    assert (found.format, found.rows, len(found.offers), len(found.ids)) == ("jsonl", 53_929, 53_929, 40_432)
    assert found.codes == {}
    prices = [offer.price_minor or 0 for offer in found.offers]
    assert (min(prices), max(prices)) == (70, 68_770_000)
    assert {offer.currency for offer in found.offers} == {"THB"}


def test_onestockhome_has_rows_without_a_price(shared_data: Path) -> None:
    found = count(shared_data / "feeds/thai_onestockhome.jsonl.zst", "THB", THAI)
    assert (found.rows, len(found.offers), found.codes["PRICE_REQUIRED"]) == (3_010, 1_645, 1_365)
    assert found.codes["TITLE_TRUNCATED"] == 2


def test_null_prices_and_empty_ids_are_counted(shared_data: Path) -> None:
    found = count(shared_data / "bad_input/thai_scg_experience_null_price.jsonl.zst", "THB", THAI)
    assert found.rows == 1_223
    assert found.codes == {"PRICE_REQUIRED": 694, "OFFER_ID_REQUIRED": 531, "INVISIBLE_CHARACTERS": 39}


def test_pipes_between_the_columns(shared_data: Path) -> None:
    maps = ["mpn=modelno", "link=id|prefix:https://shop.example/p/", "availability==in_stock"]
    amazon = count(shared_data / "feeds/amazon_22k_pipe.csv.zst", "USD", maps)
    assert (amazon.rows, len(amazon.ids), amazon.codes["PRICE_REQUIRED"]) == (22_074, 22_074 - 2_860, 2_860)
    walmart = count(shared_data / "feeds/walmart_2554_pipe.csv.zst", "USD", maps)
    assert (walmart.rows, walmart.codes["PRICE_ZERO"]) == (2_554, 64)


def test_known_formats_need_nothing(shared_data: Path) -> None:
    feeds = shared_data / "feeds"
    awin = count(feeds / "awin_csv_bilali.csv.zst", "EUR")
    assert (awin.format, len(awin.offers), awin.codes) == ("google_csv", 48, {})
    rss = count(feeds / "google_rss_opispot_486.xml.zst", "USD")
    assert (rss.format, len(rss.ids), rss.codes) == ("google_xml", 486, {})
    tsv = count(feeds / "google_tsv_lakeerie.tsv.zst", "USD")
    assert (tsv.format, len(tsv.ids), tsv.codes) == ("google_tsv", 160, {})
    yml = count(feeds / "yml_karsaman_77.xml.zst", "RUB")
    assert (yml.format, len(yml.ids), yml.codes) == ("yml", 77, {})
    assert all(offer.link.startswith("https://xn--") for offer in yml.offers)


def test_yml_without_links_and_with_pasted_markup(shared_data: Path) -> None:
    path = shared_data / "feeds/yml_rozetka_fiskars_379.xml.zst"
    assert count(path, "UAH").codes["LINK_REQUIRED"] == 379
    found = count(path, "UAH", ["link=id|prefix:https://shop.example/p/"])
    assert len(found.ids) == 379
    assert not any("data-testid" in offer.description or "<p" in offer.description for offer in found.offers)


def test_shopify_exports_give_an_offer_a_variant(shared_data: Path) -> None:
    bilali = count(shared_data / "feeds/shopify_bilali.csv.zst", "EUR", link_base="https://bilalithelabel.com")
    assert (bilali.format, bilali.rows, len(bilali.ids), bilali.codes) == ("shopify_csv", 130, 130, {})
    apparel = count(shared_data / "feeds/shopify_sample_apparel.csv.zst", "USD", link_base="https://shop.example")
    assert (apparel.rows, len(apparel.ids)) == (22, 22)


def test_a_json_array_without_ids_takes_them_from_the_pictures(shared_data: Path) -> None:
    number = "image|after_last:/|before:_"
    maps = [f"offer_id={number}", f"link={number}|prefix:https://shop.example/", "title=name", "availability==in_stock"]
    found = count(shared_data / "feeds/bestbuy_phones_3291.json.zst", "USD", maps)
    assert (found.format, len(found.offers), len(found.ids)) == ("json", 3_291, 3_291)


def test_the_shop_whose_orders_we_have(shared_data: Path) -> None:
    maps = ["offer_id=sku", "link=sku|urlencode|prefix:https://shop.example/p/", "availability==in_stock"]
    found = count(shared_data / "feeds/uci_shop_feed.csv.zst", "PKR", maps)
    assert (found.rows, len(found.ids), {offer.currency for offer in found.offers}) == (3_921, 3_920, {"GBP"})
    assert found.codes == {"TOO_MANY_DECIMALS": 1}


def test_latin_1_is_rejected_by_row_or_read_when_named(shared_data: Path) -> None:
    path = shared_data / "bad_input/csv_latin1_google_products_3226.csv.zst"
    maps = ["offer_id=id|after_last:/", "link=id", "title=name", "availability==in_stock"]
    guessed = count(path, "USD", maps)
    assert (guessed.rows, guessed.codes["ENCODING_INVALID"] > 0) == (3_226, True)
    assert len(guessed.offers) == 3_226 - guessed.codes["ENCODING_INVALID"]
    named = count(path, "USD", maps, encoding="windows-1252")
    assert len(named.offers) == 3_226
    assert Counter(offer.currency for offer in named.offers) == {"USD": 3_226 - 62, "GBP": 62}


def test_other_names_of_columns_are_asked_for(shared_data: Path) -> None:
    path = shared_data / "bad_input/csv_emirates_gifts_ar.csv.zst"
    with pytest.raises(FeedError, match="link=COLUMN") as caught:
        count(path, "AED")
    assert caught.value.reason == "COLUMNS_NOT_RECOGNISED"
    found = count(path, "AED", ["link=URL", "image_link=Image", "product_types=Category"])
    assert (len(found.ids), found.codes) == (263, {})
    assert {(offer.price_minor, offer.sale_price_minor) for offer in found.offers} >= {(35_200, 25_200)}


def test_broken_xml_ends_with_the_line(shared_data: Path) -> None:
    with pytest.raises(FeedError) as caught:
        count(shared_data / "bad_input/xml_broken_912e6de257.xml.zst", "AED")
    assert (caught.value.reason, caught.value.line) == ("XML_MALFORMED", 33)


def test_every_snapshot_of_a_feeds_history_is_read(shared_data: Path) -> None:
    path = shared_data / "feeds_history/google_opispot_snapshots.tar.zst"
    snapshots = 0
    with (
        path.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as plain,
        tarfile.open(fileobj=plain, mode="r|") as archive,
    ):
        for member in archive:
            file = archive.extractfile(member)
            if file is None or not member.name.endswith(".xml"):
                continue
            with open_feed(io.BytesIO(file.read()), name=member.name, options=FeedOptions("USD", NOW)) as feed:
                items = list(feed.items())
            snapshots += 1
            assert items, member.name
            assert not any(issue.severity == 2 for item in items for issue in item.issues), member.name
    assert snapshots == 16


REAL = [
    ("feeds/google_rss_opispot_486.xml.zst", "google_xml", {}),
    ("feeds/google_tsv_lakeerie.tsv.zst", "google_tsv", {}),
    ("feeds/awin_csv_bilali.csv.zst", "google_csv", {}),
    ("feeds/yml_karsaman_77.xml.zst", "yml", {}),
    ("feeds/shopify_bilali.csv.zst", "shopify_csv", {"link_base": "https://shop.example"}),
    ("feeds/thai_onestockhome.jsonl.zst", "jsonl", {"column_mapping": parse_column_mapping(THAI)}),
    ("feeds/bestbuy_phones_3291.json.zst", "json", {"column_mapping": {"offer_id": "image|after_last:/"}}),
    ("feeds/walmart_2554_pipe.csv.zst", "csv", {"column_mapping": {"link": "id"}}),
    ("bad_input/csv_emirates_gifts_ar.csv.zst", "csv", {"column_mapping": {"link": "URL"}}),
]


@pytest.mark.parametrize(("name", "feed_format", "options"), REAL, ids=[name for name, _, _ in REAL])
def test_a_real_feed_is_the_same_however_it_is_packed_and_encoded(
    shared_data: Path, name: str, feed_format: str, options: dict[str, Any]
) -> None:
    plain = zstandard.ZstdDecompressor().decompressobj().decompress((shared_data / name).read_bytes())
    text = plain.decode("utf-8-sig")
    in_zip = io.BytesIO()
    with zipfile.ZipFile(in_zip, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feed", plain)
    settings = FeedOptions("USD", NOW, **options)

    def items(data: bytes) -> list[bytes]:
        with open_feed(io.BytesIO(data), options=settings) as feed:
            assert feed.format == feed_format
            return [item.SerializeToString(deterministic=True) for item in feed.items()]

    expected = items(plain)
    assert len(expected) > 40
    declared = text.replace('encoding="UTF-8"', 'encoding="UTF-16"', 1)
    for data in (gzip.compress(plain), in_zip.getvalue(), zstandard.compress(plain), declared.encode("utf-16")):
        assert items(data) == expected


def test_a_real_arabic_feed_in_the_encoding_of_windows(shared_data: Path) -> None:
    path = shared_data / "bad_input/csv_emirates_gifts_ar.csv.zst"
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()).decode()
    in_windows = plain.encode("cp1256", "replace")

    def items(data: bytes, encoding: str | None) -> list[bytes]:
        settings = FeedOptions("AED", NOW, column_mapping={"link": "URL"}, encoding=encoding)
        with open_feed(io.BytesIO(data), options=settings) as feed:
            return [item.SerializeToString(deterministic=True) for item in feed.items()]

    assert items(in_windows, "windows-1256") == items(in_windows.decode("cp1256").encode(), None)
    assert len(items(in_windows, "windows-1256")) == 263
