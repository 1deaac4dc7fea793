"""Items in protobuf's form, put together from their fields: what serialising a message gives, without the message.

Most fields are texts, which go in as they are; what is more than that, a message of this one field writes. Fields come
in the order of their numbers, so that an offer that has not changed has the same bytes as from any other producer.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

_DELIMITED: Final = 2
_OFFER: Final = bytes([pb.OfferItem.OFFER_FIELD_NUMBER << 3 | _DELIMITED])
_LINE: Final = bytes([pb.OfferItem.LINE_FIELD_NUMBER << 3])


def _varint(number: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    done = bytearray()
    while number > 0x7F:
        done.append(number & 0x7F | 0x80)
        number >>= 7
    done.append(number)
    return bytes(done)


NUMBERS: Final[dict[str, int]] = {field.name: field.number for field in pb.Offer.DESCRIPTOR.fields}
_TAGS: Final = {name: _varint(number << 3 | _DELIMITED) for name, number in NUMBERS.items()}
# Of most lengths and lines two bytes and three are enough: with the next to come, and the last.
_LOW: Final = [bytes([part | 0x80]) for part in range(0x80)]
_LAST: Final = [bytes([part]) for part in range(0x80)]


def _number(value: int) -> bytes:
    if value < 1 << 7:
        return _LAST[value]
    if value < 1 << 14:
        return _LOW[value & 0x7F] + _LAST[value >> 7]
    if value < 1 << 21:
        return _LOW[value & 0x7F] + _LOW[value >> 7 & 0x7F] + _LAST[value >> 14]
    return _varint(value)


_MAX_KEPT_LENGTH: Final = 10_000
_LENGTHS: Final = [_varint(length) for length in range(1024)]


def text_prefix(field: str, length: int) -> bytes:
    """What stands before a text of so many bytes in this field of an offer."""
    return _TAGS[field] + _number(length)


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Of an offer."""
    return pb.Offer(**fields).SerializeToString(deterministic=True)


def encode_offer(fields: Mapping[str, Any]) -> bytes:
    """A field that is given as bytes is encoded already. Raises UnicodeEncodeError for a text that is none."""
    parts: list[bytes] = []
    for name in _in_order(tuple(fields)):
        value = fields[name]
        kind = type(value)
        if kind is str:
            if value:
                data = value.encode()
                length = len(data)
                parts += (_TAGS[name], _LENGTHS[length] if length < 1024 else _number(length), data)
        elif kind is bytes:
            parts.append(value)
        else:
            parts.append(encode_fields({name: value}))
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _in_order(names: tuple[str, ...]) -> Sequence[str]:
    return sorted(names, key=NUMBERS.__getitem__)


def encode_line(line: int) -> bytes:
    return _LINE + _number(line)


class ItemHeads(dict[int, bytes]):
    """What stands in an item without issues before an offer of so many bytes; behind it is the line.

    `source_time` is an item that has nothing else.
    """

    def __init__(self, source_time: bytes) -> None:
        self._begin = source_time + _OFFER

    def __missing__(self, length: int) -> bytes:
        head = self._begin + _number(length)
        if length <= _MAX_KEPT_LENGTH:
            self[length] = head
        return head


def encode_item(source_time: bytes, offer: bytes | None, line: int, issues: Sequence[pb.Issue]) -> bytes:
    """`source_time` is an item that has nothing else. Lines are counted from 1."""
    parts = [source_time]
    if offer is not None:
        parts += (_OFFER, _number(len(offer)), offer)
    parts.append(encode_line(line))
    if issues:
        parts.append(pb.OfferItem(issues=issues).SerializeToString())
    return b"".join(parts)
