"""Shopify's product export: a product is several rows with one Handle, its variants and its pictures."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from domains.offers.feeds.rows import Row, unreadable
from domains.offers.feeds.table_rows import Table
from domains.offers.validation.item import MAX_OFFER_ID_LENGTH

_MAX_ROWS_OF_PRODUCT: Final = 5000
_MAX_CHARACTERS_OF_PRODUCT: Final = 4 * 1024**2
_MAX_PICTURES: Final = 200
_OPTIONS: Final = (
    ("Option1 Name", "Option1 Value", "option1"),
    ("Option2 Name", "Option2 Value", "option2"),
    ("Option3 Name", "Option3 Value", "option3"),
)
_OPTION_FIELDS: Final = {"color": "color", "colour": "color", "size": "size"}
_NO_OPTION: Final = "Default Title"
_ID_HASH_LENGTH: Final = 12
# What is read here. Of the other columns, of which an export has dozens, only those that a rule asks for are kept.
_READ: Final = frozenset(
    {"Handle", "Title", "Status", "Published", "Image Src", *(name for option in _OPTIONS for name in option)}
    | {"Variant SKU", "Variant Price", "Variant Image", "Variant Barcode"}
    | {"Variant Inventory Qty", "Variant Inventory Tracker", "Variant Inventory Policy"}
)
# By name, those that are not empty.
Cells = Mapping[str, str]
_Product = list[tuple[int, Cells]]


def shopify_rows(table: Table, asked: frozenset[str], link_base: str | None, *, has_links: bool) -> Iterator[Row]:
    """One row a variant, under the names that the shopify profile maps; its line is the variant's own.

    `asked` are the columns that rules name. `has_links`: the column mapping says where links come from, so that no
    `link_base` is needed. Rows that only bring pictures are taken into their product's. Products that are not
    published (Status or Published say so) are not for sale and are passed over.
    """
    kept = [(name, position) for position, name in enumerate(table.columns) if name in _READ or name in asked]
    product: _Product = []
    size = 0
    handle = ""
    for line, cells in table.rows():
        if not isinstance(cells, list):
            yield line, cells
            continue
        values = {name: cell for name, position in kept if (cell := cells[position])}
        own = values.get("Handle", "")
        if product and (own != handle or len(product) >= _MAX_ROWS_OF_PRODUCT or size > _MAX_CHARACTERS_OF_PRODUCT):
            yield from _variants(handle, product, link_base, has_links)
            product, size = [], 0
        handle = own
        product.append((line, values))
        size += table.row_characters
    if product:
        yield from _variants(handle, product, link_base, has_links)


def _variants(handle: str, product: _Product, link_base: str | None, has_links: bool) -> Iterator[Row]:
    first_line, first = product[0]
    if not handle:
        for line, _ in product:
            yield unreadable(line, "HANDLE_MISSING", "The row has no Handle. Export the products again.")
        return
    if first.get("Status", "active") != "active" or first.get("Published", "").lower() == "false":
        return
    variants = [row for row in product if "Variant Price" in row[1]]
    if not variants:
        yield unreadable(first_line, "PRICE_MISSING", "No row of the product has a Variant Price. Add it.", handle)
        return
    if link_base is None and not has_links:
        message = "A Shopify export has no links. Set link_base to the shop's address, such as https://shop.example."
        for line, _ in variants:
            yield unreadable(line, "LINK_BASE_MISSING", message, handle)
        return
    shared: dict[str, Any] = {"item_group": handle}
    if link_base is not None:
        shared["link"] = f"{link_base.rstrip('/')}/products/{_in_link(handle)}"
    pictures = [cells["Image Src"] for _, cells in product if "Image Src" in cells][:_MAX_PICTURES]
    # Shops give one SKU to all sizes; then it does not tell the variants apart.
    skus = Counter(cells.get("Variant SKU") for _, cells in variants) if len(variants) > 1 else {}
    options = [
        (name, _OPTION_FIELDS.get(first.get(of_name, "").strip().lower(), target)) for of_name, name, target in _OPTIONS
    ]
    for line, variant in variants:
        values = {**first, **variant, **shared}
        chosen = [(target, variant.get(name, "")) for name, target in options]
        values.update(chosen)
        texts = [text for _, text in chosen if text and text != _NO_OPTION]
        sku = variant.get("Variant SKU", "")
        values["variant_id"] = (sku if sku and skus.get(sku, 1) == 1 else variant_id(handle, texts)).strip()
        values["variant_title"] = " ".join(part for part in (first.get("Title", ""), " / ".join(texts)) if part)
        picture = variant.get("Variant Image") or (pictures[0] if pictures else "")
        values["picture"] = picture
        values["other_pictures"] = [link for link in pictures if link != picture]
        values["availability"] = _availability(values)
        if "Variant Barcode" in values:
            # Spreadsheets put an apostrophe before numbers that are to stay text.
            values["barcode"] = values["Variant Barcode"].lstrip("'")
        yield line, values


def _in_link(handle: str) -> str:
    if handle.isascii() and handle.replace("-", "").isalnum():
        return handle
    try:
        return quote(handle, safe="")
    except UnicodeEncodeError:
        # It has bytes of another encoding, and the row is refused for them.
        return handle


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
