"""Reads one generated feed and prints what it took: run by test_memory.py in a process of its own.

    python feed_peak.py KIND COUNT

prints JSON: items, errors among them, the reason of the FeedError or null, and the peak of the process in MiB.
"""

import gzip
import io
import itertools
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from domains.offers.feeds import FeedError, FeedOptions, open_feed
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Pieces = Iterator[bytes]
MIB = 1024**2


class Pipe(io.RawIOBase):
    """A stream that is made while it is read, so that nothing but the reader can hold it."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def row(number: int) -> dict[str, str | float | list[str]]:
    link = f"https://shop.example/p/{number}"
    return {"id": f"sku-{number}", "title": f"Lamp {number}", "link": link, "price": number + 0.5, "brand": "Neem"}


def json_lines(count: int) -> Pieces:
    return (json.dumps(row(number)).encode() + b"\n" for number in range(count))


def csv(count: int) -> Pieces:
    yield b"id,title,link,price,brand\n"
    for number in range(count):
        yield b'sku-%d,"Lamp %d",https://shop.example/p/%d,%d.50,Neem\n' % ((number,) * 4)


def json_array(count: int) -> Pieces:
    yield b"["
    for number in range(count):
        yield b",\n" * bool(number) + json.dumps(row(number)).encode()
    yield b"]"


def xml(count: int) -> Pieces:
    yield b"<rss xmlns:g='http://base.google.com/ns/1.0'><channel>"
    for number in range(count):
        yield (
            b"<item><g:id>sku-%d</g:id><title>Lamp %d</title><link>https://shop.example/p/%d</link>"
            b"<g:price>%d.50 PKR</g:price></item>\n" % ((number,) * 4)
        )
    yield b"</channel></rss>"


def yml(count: int) -> Pieces:
    yield b"<yml_catalog><shop><categories>"
    yield from (b'<category id="%d" parentId="%d">Lamps</category>\n' % (number, number // 2) for number in range(1000))
    yield b"</categories><offers>"
    for number in range(count):
        yield b'<offer id="%d"><name>Lamp</name><price>5</price><categoryId>7</categoryId></offer>\n' % number
    yield b"</offers></shop></yml_catalog>"


def shopify(count: int) -> Pieces:
    yield b"Handle,Title,Variant Price,Image Src\n"
    for number in range(count):
        yield b"lamp-%d,Lamp,%d,https://images.example/%d.jpg\n" % (number // 3, number, number)


def gzip_of_a_gib(count: int) -> Pieces:
    """Blanks: a thousandfold."""
    yield gzip.compress(b"id,title,link,price\n1,Lamp,https://shop.example/1,5\n")
    blanks = gzip.compress((b" " * 1023 + b"\n") * 1024)
    yield from itertools.repeat(blanks, count)


def zip_of_many_files(count: int) -> Pieces:
    """A table of contents that names one file again and again."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("feed.csv", b"")
    plain = target.getvalue()
    directory, end = plain.index(b"PK\x01\x02"), plain.index(b"PK\x05\x06")
    size = (end - directory) * count
    yield plain[:directory]
    yield from itertools.repeat(plain[directory:end], count)
    yield plain[end : end + 12] + size.to_bytes(4, "little") + plain[end + 16 :]


def xml_row_of_many_elements(count: int) -> Pieces:
    yield b"<rss><channel><item>"
    yield from itertools.repeat(b"<a/>" * 1000, count)


def xml_rows_in_new_parents(count: int) -> Pieces:
    """What follows each row is in an element that stays in the tree."""
    yield b"<rss>"
    parent = b"<channel>%b<item><id>1</id></item>%b</channel>" % (b"x" * 500_000, b"<title>x</title>" * 60_000)
    yield from itertools.repeat(parent, count)
    yield b"</rss>"


def yml_with_long_categories(count: int) -> Pieces:
    yield b"<yml_catalog><offers>"
    for number in range(count):
        yield b'<category id="%d">%b</category><offer id="1"/>' % (number, b"x" * 3 * MIB)
    yield b"</offers></yml_catalog>"


def laughs(count: int) -> Pieces:
    yield b"<!--" + b" " * 20_000 + b"--><!DOCTYPE rss ["
    yield b'<!ENTITY a0 "ha">'
    for level in range(1, count):
        yield b'<!ENTITY a%d "%b">' % (level, b"&a%d;" % (level - 1) * 10)
    yield b'<rss><channel><item id="&a%d;"><id>&a%d;</id></item></channel></rss>' % (count - 1, count - 1)


def json_row_of_many_lists(count: int) -> Pieces:
    yield b'[{"id": ['
    yield from itertools.repeat(b"[],{}," * 1000, count)


def json_line_of_many_lists(count: int) -> Pieces:
    for _ in range(count):
        yield b'{"id": [' + b"[],{}," * 600_000 + b"[]]}\n"


def json_lines_without_ends(count: int) -> Pieces:
    yield b'{"id": "1"}\n{"id": "'
    yield from itertools.repeat(b"x" * MIB, count)


def csv_row_without_an_end(count: int) -> Pieces:
    """Each line closes a quote and opens the next one."""
    yield b'id,title,link,price\n1,2,3,"\n'
    yield from itertools.repeat(b'","\n' * 10_000, count)


def shopify_product_of_large_rows(count: int) -> Pieces:
    yield b"Handle,Title,Variant Price,Body (HTML)\n"
    yield from itertools.repeat(b"lamp,Lamp,5," + b"x" * 500_000 + b"\n", count)


def names_of_their_own(count: int) -> Pieces:
    """Every row has keys that no other row has."""
    for number in range(count):
        keys = ", ".join(f'"key-{number}-{place}": 1' for place in range(20))
        yield f'{{"id": "{number}", {keys}}}\n'.encode()


def values_of_their_own(count: int) -> Pieces:
    """What is kept because it repeats does not."""
    yield b"id,title,link,price,product type,availability\n"
    for number in range(count):
        blanks = b" " * (number % 99)
        yield b"%d,Lamp,https://shop.example,%d.25,Type %d,%b in stock\n" % (number, number, number, blanks)


KINDS: tuple[Callable[[int], Pieces], ...] = (
    *(json_lines, csv, json_array, xml, yml, shopify, gzip_of_a_gib, zip_of_many_files, xml_row_of_many_elements),
    *(xml_rows_in_new_parents, yml_with_long_categories, laughs, json_row_of_many_lists, json_line_of_many_lists),
    *(json_lines_without_ends, csv_row_without_an_end, shopify_product_of_large_rows, names_of_their_own),
    values_of_their_own,
)


def peak_mib() -> int:
    """Of this process alone: ru_maxrss begins with what its parent had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise RuntimeError("no VmHWM")


def main(kind: str, count: int) -> None:
    options = FeedOptions("PKR", datetime(2026, 3, 1, tzinfo=UTC), link_base="https://shop.example")
    make = {make.__name__: make for make in KINDS}[kind]
    items = errors = 0
    reason = None
    try:
        with open_feed(Pipe(make(count)), options=options) as feed:  # type: ignore[arg-type]
            for item in feed.items():
                items += 1
                errors += any(issue.severity == pb.SEVERITY_ERROR for issue in item.issues)
    except FeedError as error:
        reason = error.reason
    print(json.dumps({"items": items, "errors": errors, "reason": reason, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
