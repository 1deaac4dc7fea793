"""Shopify's product export: a product is several rows with one Handle, its variants and its pictures."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from domains.offers.feeds.rows import Row, unreadable
from domains.offers.validation.item import MAX_OFFER_ID_LENGTH

_MAX_ROWS_OF_PRODUCT: Final = 5000
_OPTIONS: Final = ("Option1 Value", "Option2 Value", "Option3 Value")
_NO_OPTION: Final = "Default Title"
_ID_HASH_LENGTH: Final = 12
Cells = Mapping[str, str]


def shopify_rows(rows: Iterator[Row], link_base: str | None, *, has_links: bool) -> Iterator[Row]:
    """One row a variant, under the names that the shopify profile maps; `line` is the variant's own.

    `has_links`: the column mapping says where links come from, so that no `link_base` is needed.
    Rows that only bring pictures are taken into their product's. Products that are not published (Status or
    Published say so) are not for sale and are passed over.
    """
    product: list[Row] = []
    handle = ""
    for row in rows:
        if row.problem is not None:
            yield row
            continue
        own = row.values.get("Handle", "")
        if product and (own != handle or len(product) >= _MAX_ROWS_OF_PRODUCT):
            yield from _variants(handle, product, link_base, has_links)
            product = []
        handle = own
        product.append(row)
    if product:
        yield from _variants(handle, product, link_base, has_links)


def _variants(handle: str, product: list[Row], link_base: str | None, has_links: bool) -> Iterator[Row]:
    first = product[0].values
    if not handle:
        for row in product:
            yield unreadable(row.line, "HANDLE_MISSING", "The row has no Handle. Export the products again.")
        return
    if first.get("Status", "active") not in ("active", "") or first.get("Published", "").lower() == "false":
        return
    variants = [row for row in product if row.values.get("Variant Price")]
    if not variants:
        yield unreadable(product[0].line, "PRICE_MISSING", "No row of the product has a Variant Price. Add it.", handle)
        return
    pictures = [row.values["Image Src"] for row in product if row.values.get("Image Src")]
    skus = [row.values.get("Variant SKU", "") for row in variants]
    for row, sku in zip(variants, skus, strict=True):
        if link_base is None and not has_links:
            message = (
                "A Shopify export has no links. Set link_base to the shop's address, such as https://shop.example."
            )
            yield unreadable(row.line, "LINK_BASE_MISSING", message, handle)
            continue
        options = [text for name in _OPTIONS if (text := row.values.get(name, "")) and text != _NO_OPTION]
        # Shops give one SKU to all sizes; then it does not tell the variants apart.
        is_unique = bool(sku) and skus.count(sku) == 1
        yield Row(row.line, _values(handle, first, row.values, options, pictures, link_base, sku if is_unique else ""))


def _values(
    handle: str,
    first: Cells,
    variant: Cells,
    options: list[str],
    pictures: list[str],
    link_base: str | None,
    unique_sku: str,
) -> dict[str, Any]:
    picture = variant.get("Variant Image") or (pictures[0] if pictures else "")
    values: dict[str, Any] = {**first, **{name: cell for name, cell in variant.items() if cell}}
    if link_base is not None:
        values["link"] = f"{link_base.rstrip('/')}/products/{quote(handle, safe='')}"
    values |= {
        "variant_id": (unique_sku or variant_id(handle, options)).strip(),
        "variant_title": " ".join(part for part in (first.get("Title", ""), " / ".join(options)) if part),
        "item_group": handle,
        "picture": picture,
        "other_pictures": [link for link in pictures if link != picture],
        "availability": _availability(values),
        # Spreadsheets put an apostrophe before numbers that are to stay text.
        "barcode": values.get("Variant Barcode", "").lstrip("'"),
    }
    for number, target in ((1, "option1"), (2, "option2"), (3, "option3")):
        name = first.get(f"Option{number} Name", "").strip().lower()
        if name in ("color", "colour", "size"):
            values[name.replace("colour", "color")] = variant.get(f"Option{number} Value", "")
        else:
            values[target] = variant.get(f"Option{number} Value", "")
    return values


def variant_id(handle: str, options: list[str]) -> str:
    """The same for the same handle and options; a long one is cut and gets a hash of the whole."""
    whole = "-".join((handle, *(option.strip() for option in options)))
    if len(whole) <= MAX_OFFER_ID_LENGTH:
        return whole
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=_ID_HASH_LENGTH // 2).hexdigest()
    return f"{whole[: MAX_OFFER_ID_LENGTH - _ID_HASH_LENGTH - 1].strip()}-{digest}"


def _availability(values: Mapping[str, str]) -> str:
    """Out of stock only where the shop counts the stock, has none, and does not sell on without."""
    quantity = values.get("Variant Inventory Qty", "").strip()
    is_counted = bool(values.get("Variant Inventory Tracker")) and quantity.lstrip("-").isdigit()
    is_empty = is_counted and (quantity.startswith("-") or not quantity.strip("0"))
    return "out_of_stock" if is_empty and values.get("Variant Inventory Policy") != "continue" else "in_stock"
