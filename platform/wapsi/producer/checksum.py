"""The running checksum of a sync: what a producer states at the end must be what is stored.

The sum, modulo 2^128, of one value an item, so it neither depends on how items were batched nor needs any state but
the 16 bytes themselves: it goes on from a stored value. The value of an item is BLAKE2b with a digest of 16 bytes,
read as a big-endian number, over these bytes, integers big-endian:

    8  position of the item in the sync, from 0        4  length of offer_id in bytes of UTF-8
    8  source_time: seconds (signed)                   4  length of title
    4  source_time: nanoseconds (signed)               4  length of link
    8  price: minor units (signed; 0 without one)      4  length of the price's currency
    1  flags: 1 has an offer, 2 has a price, 4 delete
    then offer_id, title, link and currency themselves, without separators

Made of fields and not of protobuf's encoding, which differs between languages.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

CHECKSUM_BYTES: Final = 16
EMPTY_CHECKSUM: Final = bytes(CHECKSUM_BYTES)
_MODULUS: Final = 1 << (8 * CHECKSUM_BYTES)
_HEAD: Final = Struct(">QqiqBIIII")


def combine(previous: bytes, offset: int, items: Iterable[pb.OfferItem]) -> bytes:
    """The checksum after `items`, whose first has the position `offset`; `previous` is the one before them."""
    total = int.from_bytes(previous, "big")
    pack = _HEAD.pack
    for position, item in enumerate(items, offset):
        stated = item.source_time
        offer = item.offer
        flags = item.HasField("offer") | offer.HasField("price") << 1 | offer.delete << 2
        price = offer.price
        offer_id = offer.offer_id.encode()
        title = offer.title.encode()
        link = offer.link.encode()
        currency = price.currency.encode()
        head = pack(
            position,
            stated.seconds,
            stated.nanos,
            price.amount_minor,
            flags,
            len(offer_id),
            len(title),
            len(link),
            len(currency),
        )
        digest = blake2b(head + offer_id + title + link + currency, digest_size=CHECKSUM_BYTES).digest()
        total += int.from_bytes(digest, "big")
    return (total % _MODULUS).to_bytes(CHECKSUM_BYTES, "big")
