"""The running checksum of a sync: what a producer states at the end must be what is stored.

The sum, modulo 2^128, of one value an item, so it neither depends on how items were batched nor needs any state but
the 16 bytes themselves: it goes on from a stored value. The value of an item is BLAKE2b with a digest of 16 bytes,
read as a big-endian number, over

    8  position of the item in the sync, from 0, big-endian
    then the item as it was pushed: the bytes in PushOffersRequest.items
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

CHECKSUM_BYTES: Final = 16
EMPTY_CHECKSUM: Final = bytes(CHECKSUM_BYTES)
_MODULUS: Final = 1 << (8 * CHECKSUM_BYTES)


def combine(previous: bytes, offset: int, items: Iterable[bytes]) -> bytes:
    """The checksum after `items`, whose first has the position `offset`; `previous` is the one before them."""
    total = int.from_bytes(previous, "big")
    for position, item in enumerate(items, offset):
        digest = blake2b(position.to_bytes(8, "big") + item, digest_size=CHECKSUM_BYTES).digest()
        total += int.from_bytes(digest, "big")
    return (total % _MODULUS).to_bytes(CHECKSUM_BYTES, "big")
