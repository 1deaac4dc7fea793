"""Opening a feed: what is it, and how is it read?"""

import io
import re
from collections.abc import Callable, Iterator
from itertools import starmap
from types import TracebackType
from typing import IO, BinaryIO, Final, Self

from domains.offers.feeds.build import ItemBuilder
from domains.offers.feeds.compression import Expanded, expand
from domains.offers.feeds.encoding import Lines, as_utf_8, choose_encoding
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.json_rows import JSONLines, json_array_rows
from domains.offers.feeds.options import FORMATS, FeedOptions
from domains.offers.feeds.profiles import normal_name, rules_for
from domains.offers.feeds.rows import Row
from domains.offers.feeds.shopify import shopify_rows
from domains.offers.feeds.table_rows import Table
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

_HEAD_BYTES: Final = 16 * 1024
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_ROOT: Final = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_INTERNAL_SUBSET: Final = re.compile(r"<!DOCTYPE[^>\[]*\[")
_DECLARED: Final = re.compile(r"<\?xml[^>]*\sencoding\s*=\s*[\"']([\w.:-]+)")
_ROOTS: Final = {"rss": "google_xml", "feed": "google_xml", "RDF": "google_xml", "yml_catalog": "yml"}
_SHOPIFY_COLUMNS: Final = frozenset({"handle", "title", "variant_price"})
_AWIN_COLUMNS: Final = frozenset({"aw_deep_link", "aw_product_id", "merchant_product_id", "merchant_deep_link"})
_GOOGLE_COLUMNS: Final = frozenset({"id", "title", "link", "price"})


class Feed:
    """One reading of a file. `format` is one of FORMATS, `encoding` a codec's name, `compression` none, gzip, ..."""

    def __init__(self, source: Expanded, feed_format: str, encoding: str, items: Callable[[], Iterator[bytes]]) -> None:
        self.name: str | None = None
        self.format = feed_format
        self.encoding = encoding
        self.compression = source.compression
        self._source = source
        self._items = items

    def items(self) -> Iterator[pb.OfferItem]:
        """One item a row, in the order of the file, once. Raises FeedError where the file cannot be read on."""
        return map(pb.OfferItem.FromString, self.serialised())

    def serialised(self) -> Iterator[bytes]:
        """The items as they are pushed: nothing is gained by making messages of them first."""
        try:
            yield from self._items()
        finally:
            self.close()

    def close(self) -> None:
        """Frees what was spooled; the end of its items does so too. The stream that was given is the caller's."""
        self._source.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_feed(stream: BinaryIO | IO[bytes], *, name: str | None = None, options: FeedOptions) -> Feed:
    """Recognises compression, encoding and format by the content, unless `options` name them. Reads only the head.

    `name` is the file's, for logs; it decides nothing. Raises FeedError.
    """
    source = expand(stream, options)
    try:
        feed = _open(source, options)
    except FeedError:
        source.release()
        raise
    feed.name = name
    return feed


def _open(source: Expanded, options: FeedOptions) -> Feed:
    if options.format is not None and options.format not in FORMATS:
        raise FeedError("FORMAT_UNKNOWN", f"{options.format!r} is no format. Name one of {', '.join(FORMATS)}.")
    head = source.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    if not head.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe"):
        raise FeedError("FEED_EMPTY", "The file has no content. Send the feed again.")
    encoding, mark = choose_encoding(head, options.encoding)
    text = head[mark:].decode(encoding, "replace").lstrip()
    feed_format = options.format or _recognise(text)
    if feed_format in ("google_xml", "yml"):
        return _open_xml(source, feed_format, encoding, mark, text, options)
    source.read(mark)
    if feed_format in ("json", "jsonl"):
        rules = rules_for(feed_format, options.column_mapping, None)
        stream = as_utf_8(source, encoding)
        if feed_format == "json":
            builder = ItemBuilder(rules, options, encoding)
            return _feed(source, feed_format, encoding, lambda: json_array_rows(stream), builder)
        lines = JSONLines(stream)
        builder = ItemBuilder(rules, options, encoding, numbers=lines)
        return Feed(source, feed_format, encoding, lambda: builder.build_lines(lines))
    return _open_table(source, options.format, encoding, options)


def _feed(
    source: Expanded, feed_format: str, encoding: str, rows: Callable[[], Iterator[Row]], builder: ItemBuilder
) -> Feed:
    """Of rows that are made into items one by one."""
    return Feed(source, feed_format, encoding, lambda: starmap(builder.build, rows()))


def _recognise(text: str) -> str:
    """A format's name; `csv` for any table."""
    if text.startswith("["):
        return "json"
    if text.startswith("{"):
        return "jsonl"
    if not text.startswith("<"):
        return "csv"
    root = _ROOT.search(_COMMENT.sub("", text))
    name = root[1] if root is not None else ""
    if name.lower() == "html" or text[:14].lower() == "<!doctype html":
        raise FeedError("FEED_IS_WEB_PAGE", "This is a web page, perhaps an error page of the shop. Send the feed.")
    if name not in _ROOTS:
        raise FeedError("XML_NOT_A_FEED", f"The XML's root <{name}> is neither RSS, Atom nor yml_catalog.")
    return _ROOTS[name]


def _open_xml(source: Expanded, feed_format: str, encoding: str, mark: int, text: str, options: FeedOptions) -> Feed:
    """The parser reads the encoding out of the declaration, unless the options or the first bytes say otherwise."""
    # Imported here: a program that pushes a table or JSON starts in less time without libxml2.
    from domains.offers.feeds.xml_rows import google_rows, yml_rows

    if _INTERNAL_SUBSET.search(_COMMENT.sub("", text)):
        raise FeedError("XML_DECLARATIONS", "The XML's DOCTYPE makes declarations of its own. Send it without them.")
    is_declared = encoding == "utf-8" and options.encoding is None
    declared = _DECLARED.match(text) if is_declared else None
    shown = declared[1].lower() if declared is not None else encoding
    stream: io.BufferedReader = source
    if encoding != "utf-8":
        source.read(mark)
        stream = as_utf_8(source, encoding)
    read = google_rows if feed_format == "google_xml" else yml_rows
    builder = ItemBuilder(rules_for(feed_format, options.column_mapping, None), options, shown)
    return _feed(source, feed_format, shown, lambda: read(stream, None if is_declared else "utf-8"), builder)


def _open_table(source: Expanded, named: str | None, encoding: str, options: FeedOptions) -> Feed:
    delimiter = "\t" if named == "google_tsv" and options.delimiter is None else options.delimiter
    table = Table(Lines(source, encoding), delimiter)
    feed_format = named or _table_format(table)
    rules = rules_for(feed_format, options.column_mapping, table.columns)
    if feed_format != "shopify_csv":
        return _feed(source, feed_format, encoding, table.rows, ItemBuilder(rules, options, encoding, table.columns))
    asked = frozenset(source for rule in rules for source in rule.sources)
    has_links = "link" in (options.column_mapping or {})
    return _feed(
        source,
        feed_format,
        encoding,
        lambda: shopify_rows(table, asked, options.link_base, has_links=has_links),
        ItemBuilder(rules, options, encoding),
    )


def _table_format(table: Table) -> str:
    names = {normal_name(column) for column in table.columns}
    if names >= _SHOPIFY_COLUMNS:
        return "shopify_csv"
    if names & _AWIN_COLUMNS:
        return "awin_csv"
    if names >= _GOOGLE_COLUMNS:
        return "google_tsv" if table.delimiter == "\t" else "google_csv"
    return "csv"
