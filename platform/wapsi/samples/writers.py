"""The sample feeds as files, in the formats that shops and networks really send."""

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import orjson

from wapsi.samples.offer import SampleOffer
from wapsi.samples.shops import FeedKind, ShopProfile

_GOOGLE = "http://base.google.com/ns/1.0"
_ATOM = "http://www.w3.org/2005/Atom"


def write(profile: ShopProfile, offers: Sequence[SampleOffer], path: Path, as_of: datetime) -> str:
    """Writes the feed and returns the name of its format."""
    name, make = _WRITERS[profile.feed_kind]
    path.write_bytes(make(profile, offers, as_of))
    return name


def _google_fields(offer: SampleOffer, as_of: datetime) -> list[tuple[str, str]]:
    """(attribute, value) as Google's product data specification names and writes them."""
    sale_dates = ""
    if offer.sale_has_dates:
        start, end = as_of - timedelta(days=3), as_of + timedelta(days=27)
        sale_dates = f"{start:%Y-%m-%dT%H:%M%z}/{end:%Y-%m-%dT%H:%M%z}"
    sale = "" if offer.sale_price_minor is None else f"{offer.amount(offer.sale_price_minor)} {offer.currency}"
    return [
        ("id", offer.offer_id),
        ("title", offer.title),
        ("description", offer.description),
        ("link", offer.link),
        ("image_link", offer.image_link),
        *(("additional_image_link", link) for link in offer.additional_image_links),
        ("availability", offer.availability),
        ("price", f"{offer.amount(offer.price_minor)} {offer.currency}"),
        ("sale_price", sale),
        ("sale_price_effective_date", sale_dates),
        ("brand", offer.brand),
        ("gtin", offer.gtin),
        ("mpn", offer.mpn),
        ("condition", "new"),
        ("google_product_category", offer.google_product_category),
        ("product_type", offer.product_type),
        ("item_group_id", offer.item_group_id),
        ("color", offer.color),
        ("size", offer.size),
        ("gender", offer.gender),
        ("custom_label_0", offer.rate_category),
    ]


def _google_elements(offer: SampleOffer, as_of: datetime) -> str:
    return "".join(
        f"      <g:{name}>{escape(value)}</g:{name}>\n" for name, value in _google_fields(offer, as_of) if value
    )


def _google_rss(profile: ShopProfile, offers: Sequence[SampleOffer], as_of: datetime) -> bytes:
    items = "".join(f"    <item>\n{_google_elements(offer, as_of)}    </item>\n" for offer in offers)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<rss version="2.0" xmlns:g="{_GOOGLE}">\n  <channel>\n'
        f"    <title>{escape(profile.name)}</title>\n    <link>https://{profile.host}/</link>\n"
        f"    <description>{escape(profile.description)}</description>\n{items}  </channel>\n</rss>\n"
    ).encode()


def _google_atom(profile: ShopProfile, offers: Sequence[SampleOffer], as_of: datetime) -> bytes:
    entries = "".join(f"    <entry>\n{_google_elements(offer, as_of)}    </entry>\n" for offer in offers)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<feed xmlns="{_ATOM}" xmlns:g="{_GOOGLE}">\n'
        f"    <title>{escape(profile.name)}</title>\n    <id>https://{profile.host}/feed</id>\n"
        f'    <link rel="self" href="https://{profile.host}/feed"/>\n'
        f"    <updated>{as_of.isoformat()}</updated>\n{entries}</feed>\n"
    ).encode()


def _google_tsv_gz(profile: ShopProfile, offers: Sequence[SampleOffer], as_of: datetime) -> bytes:
    rows: list[dict[str, str]] = []
    for offer in offers:
        row: dict[str, str] = {}
        for name, value in _google_fields(offer, as_of):
            # Several pictures share one cell.
            row[name] = f"{row[name]},{value}" if name == "additional_image_link" and name in row else value
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = _table(columns, rows, delimiter="\t")
    # No file name and no time in the header: the same bytes at any moment.
    return gzip.compress(table, mtime=0)


def _awin_csv(profile: ShopProfile, offers: Sequence[SampleOffer], as_of: datetime) -> bytes:
    rows = [
        {
            "aw_deep_link": f"https://clicks.{profile.network}.example/p/{offer.offer_id.lower()}",
            "product_name": offer.title,
            "aw_product_id": str(10_000_000 + number),
            "merchant_product_id": offer.offer_id,
            "merchant_image_url": offer.image_link,
            "description": offer.description,
            "merchant_category": offer.product_type,
            "search_price": offer.amount(offer.sale_price_minor or offer.price_minor),
            "merchant_name": profile.name,
            "currency": offer.currency,
            "merchant_deep_link": offer.link,
            "last_updated": f"{as_of:%Y-%m-%d %H:%M:%S}",
            "brand_name": offer.brand,
            "colour": offer.color,
            "condition": "new",
            "rrp_price": offer.amount(offer.price_minor) if offer.sale_price_minor else "",
            "in_stock": "0" if offer.availability == "out_of_stock" else "1",
            "ean": offer.gtin,
            "mpn": offer.mpn,
            "custom_1": offer.rate_category,
        }
        for number, offer in enumerate(offers)
    ]
    return _table(list(rows[0]), rows, delimiter=",")


def _table(columns: list[str], rows: list[dict[str, str]], *, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _jsonl(profile: ShopProfile, offers: Sequence[SampleOffer], as_of: datetime) -> bytes:
    return b"".join(orjson.dumps(_json_row(offer, as_of), option=orjson.OPT_APPEND_NEWLINE) for offer in offers)


def _json_row(offer: SampleOffer, as_of: datetime) -> dict[str, object]:
    """With the field names of our own protocol."""
    row: dict[str, object] = {
        "offer_id": offer.offer_id,
        "source_time": as_of.isoformat(),
        "title": offer.title,
        "description": offer.description,
        "link": offer.link,
        "image_link": offer.image_link,
        "additional_image_links": offer.additional_image_links,
        "price": offer.amount(offer.price_minor),
        "currency": offer.currency,
        "availability": offer.availability,
        "gtins": [offer.gtin],
        "brand": offer.brand,
        "google_product_category": offer.google_product_category,
        "product_types": [offer.product_type],
        "rate_category": offer.rate_category,
    }
    if offer.sale_price_minor is not None:
        row["sale_price"] = offer.amount(offer.sale_price_minor)
    return row


_Writer = Callable[[ShopProfile, Sequence[SampleOffer], datetime], bytes]
_WRITERS: dict[FeedKind, tuple[str, _Writer]] = {
    "google_rss": ("google_xml", _google_rss),
    "google_atom": ("google_xml", _google_atom),
    "google_tsv_gz": ("google_tsv", _google_tsv_gz),
    "awin_csv": ("awin_csv", _awin_csv),
    "jsonl": ("jsonl", _jsonl),
}
