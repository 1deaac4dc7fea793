"""What the columns and elements of each format mean: {target: the names that it goes by, the best first}."""

from collections.abc import Iterable, Mapping
from typing import Final

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.mapping import CUSTOM, TARGETS, Rule, compile_mapping

# Google's names, and the names of our own protocol.
_GOOGLE: Final[dict[str, tuple[str, ...]]] = {
    **{target: (target,) for target in TARGETS},
    "offer_id": ("offer_id", "id"),
    "additional_image_links": ("additional_image_links", "additional_image_link"),
    "sale_interval": ("sale_interval", "sale_price_effective_date"),
    "expires_at": ("expires_at", "expiration_date"),
    "gtins": ("gtins", "gtin"),
    "product_types": ("product_types", "product_type"),
    "color": ("color", "colour"),
    "description": ("description", "summary", "content"),
    **{f"{CUSTOM}custom_label_{number}": (f"custom_label_{number}",) for number in range(5)},
}
_AWIN: Final[dict[str, tuple[str, ...]]] = {
    **_GOOGLE,
    "offer_id": ("merchant_product_id", "id"),
    "title": ("product_name", "title"),
    "description": ("description", "product_short_description"),
    "link": ("merchant_deep_link", "link"),
    "image_link": ("merchant_image_url", "large_image", "aw_image_url", "image_link"),
    "additional_image_links": ("alternate_image", "alternate_image_two", "alternate_image_three"),
    "price": ("search_price", "store_price", "price"),
    "regular_price": ("rrp_price", "product_price_old"),
    "availability": ("stock_status", "in_stock", "availability"),
    "gtins": ("ean", "product_gtin", "upc", "gtin"),
    "mpn": ("mpn", "model_number"),
    "brand": ("brand_name", "brand"),
    "color": ("colour", "color"),
    "item_group_id": ("parent_product_id", "item_group_id"),
    "product_types": ("merchant_product_category_path", "merchant_category", "category_name", "product_type"),
}
_YML: Final[dict[str, tuple[str, ...]]] = {
    "offer_id": ("id",),
    "title": ("name",),
    "description": ("description",),
    "link": ("url",),
    "image_link": ("picture",),
    "price": ("price",),
    "regular_price": ("oldprice",),
    "currency": ("currencyId",),
    "availability": ("available", "stock_quantity"),
    "gtins": ("barcode",),
    "mpn": ("vendorCode",),
    "brand": ("vendor",),
    "item_group_id": ("group_id",),
    "product_types": ("category",),
    "adult": ("adult",),
    "custom_attributes": ("param",),
    "rate_category": ("rate_category",),
}
_SHOPIFY: Final[dict[str, tuple[str, ...]]] = {
    "offer_id": ("variant_id",),
    "title": ("variant_title",),
    "description": ("Body (HTML)",),
    "link": ("link",),
    "image_link": ("picture",),
    "additional_image_links": ("other_pictures",),
    "price": ("Variant Price",),
    "regular_price": ("Variant Compare At Price",),
    "availability": ("availability",),
    "gtins": ("barcode",),
    "mpn": ("Google Shopping / MPN",),
    "brand": ("Vendor",),
    "item_group_id": ("item_group",),
    "google_product_category": ("Google Shopping / Google Product Category", "Product Category"),
    "product_types": ("Type",),
    "condition": ("Google Shopping / Condition",),
    "color": ("color",),
    "size": ("size",),
    "gender": ("Google Shopping / Gender",),
    "age_group": ("Google Shopping / Age Group",),
    **{f"{CUSTOM}custom_label_{number}": (f"Google Shopping / Custom Label {number}",) for number in range(5)},
}
_REQUIRED: Final = ("offer_id", "title", "link")


def rules_for(feed_format: str, mapping: Mapping[str, str] | None, columns: Iterable[str] | None) -> list[Rule]:
    """The rules of a format, those of the mapping before its own. `columns` is a table's header.

    Raises FeedError (MAPPING_INVALID, COLUMN_NOT_FOUND, COLUMNS_NOT_RECOGNISED).
    """
    own = compile_mapping(mapping or {})
    if feed_format == "shopify_csv":
        return list((_plain(_SHOPIFY) | own).values())
    if feed_format == "yml":
        return list((_plain(_YML) | own).values())
    names = _AWIN if feed_format == "awin_csv" else _GOOGLE
    if columns is None:
        return list((_plain(names) | own).values())
    header = list(columns)
    for target, rule in own.items():
        if rule.constant is None and not any(source in header or "." in source for source in rule.sources):
            raise FeedError(
                "COLUMN_NOT_FOUND",
                f"The mapping takes {target} from {rule.sources[0]!r}; the columns are {_listed(header)}.",
            )
    by_name = {normal_name(column): column for column in reversed(header)}
    found = {
        target: Rule(target, sources)
        for target, aliases in names.items()
        if (sources := tuple(by_name[alias] for alias in aliases if alias in by_name))
    }
    rules = found | own
    missing = [target for target in _REQUIRED if target not in rules]
    if missing:
        raise FeedError(
            "COLUMNS_NOT_RECOGNISED",
            f"No column for {' and '.join(missing)}; the columns are {_listed(header)}. "
            f"Say which is which in a column mapping, such as {missing[0]}=COLUMN.",
            1,
        )
    return list(rules.values())


def normal_name(column: str) -> str:
    """As Google's parsers compare names: case, blanks and the prefix do not count."""
    return column.strip().lower().removeprefix("g:").replace(" ", "_").replace("-", "_")


def _plain(names: Mapping[str, tuple[str, ...]]) -> dict[str, Rule]:
    return {target: Rule(target, sources) for target, sources in names.items()}


def _listed(columns: list[str]) -> str:
    shown = ", ".join(columns[:30])[:500]
    return f"{shown} and others" if len(columns) > 30 else shown
