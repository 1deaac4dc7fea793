"""Batches of items as they are stored: the bytes that came, and beside them an index of what they are about.

The index is made once, when a batch comes in, of the items' heads and the bytes of their offers. All that a sync
compares (service/plan.py) is in it, so that an offer that has not changed is never read again.
"""

import contextlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from uuid import UUID

import zstandard
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.errors import SyncRequestInvalid
from wapsi.db import WriteSession
from wapsi.producer.checksum import combine
from wapsi.rpc.offers.v1 import offer_item_head_pb2 as head_pb
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# Raise it when a rule changes what an accepted offer becomes: every offer is then evaluated anew by the next sync.
RULES_VERSION = b"offer rules 1"
CHUNK_ITEMS = 1000
# Longer ones are refused by validation, as are those that cannot be printed: the index need not hold them.
_MAX_INDEXED_ID_LENGTH = 200
_MICROSECONDS = 1_000_000
_LAST_SECOND = 253_402_300_799  # the end of the year 9999
_OFFER_ID_TAG = 0x0A  # field 1, length-delimited
_COLUMNS = ("sync_id", "first_offset", "items", "payload", "offer_ids", "content_hashes", "source_times", "kinds")
_HASH_BYTES = 16
_TIME_BYTES = 8
_HASHER = blake2b(digest_size=_HASH_BYTES, person=RULES_VERSION)


class ItemKind(IntEnum):
    """What the index knows of an item. The numbers are stored."""

    OFFER = 0
    # An offer, and the producer had something to say about its row.
    NOTED = 1
    # A row that the producer could not make an offer of.
    REJECTED = 2
    # Without an id or a usable time: it cannot be compared, and validation says what is wrong with it.
    UNPLACED = 3


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """What is compared of each item of a chunk, packed: arrays would cost more than all else on the way in.

    `offer_ids` are followed by a line feed each; of `content_hashes` 16 bytes are one, of `source_times` 8 (an integer,
    big-endian, microseconds since 1970), of `kinds` one (ItemKind).
    """

    offer_ids: str
    content_hashes: bytes
    source_times: bytes
    kinds: bytes

    def ids(self) -> list[str]:
        return self.offer_ids.split("\n")[:-1]

    def hashes(self) -> list[bytes]:
        packed = self.content_hashes
        return [packed[start : start + _HASH_BYTES] for start in range(0, len(packed), _HASH_BYTES)]

    def times_us(self) -> tuple[int, ...]:
        return struct.unpack(f">{len(self.kinds)}q", self.source_times)

    def content_hash(self, position: int) -> bytes:
        return self.content_hashes[position * _HASH_BYTES : (position + 1) * _HASH_BYTES]

    def time_us(self, position: int) -> int:
        return int.from_bytes(self.source_times[position * _TIME_BYTES : (position + 1) * _TIME_BYTES], "big")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A batch, ready to be stored; `checksum` is the sync's after it."""

    first_offset: int
    items: int
    payload: bytes
    index: ItemIndex
    checksum: bytes

    @property
    def end_offset(self) -> int:
        return self.first_offset + self.items


def encode_chunk(previous_checksum: bytes, first_offset: int, items: Sequence[bytes]) -> Chunk:
    """`items` are serialised OfferItems. Raises SyncRequestInvalid for one that is not."""
    offer_ids: list[str] = []
    content_hashes: list[bytes] = []
    source_times: list[int] = []
    kinds = bytearray()
    body = pb.PushOffersRequest(items=items).SerializeToString()
    # Most items of a feed state the same time.
    times_us: dict[bytes, int] = {}
    for head in _read_heads(body, first_offset, items):
        offer, stated = head.offer, head.source_time
        if not offer and not head.HasField("offer"):
            kind, offer_id, time_us = ItemKind.REJECTED, head.rejected_offer_id, 0
        else:
            time_us = times_us.get(stated, -1)
            if time_us < 0:
                time_us = times_us[stated] = _time_us(stated)
            kind, offer_id = ItemKind.OFFER, _offer_id(offer)
            if not offer_id or not time_us:
                kind = ItemKind.UNPLACED
            elif head.issues:
                kind = ItemKind.NOTED
        if len(offer_id) > _MAX_INDEXED_ID_LENGTH or not offer_id.isprintable():
            offer_id = ""
            if kind != ItemKind.REJECTED:
                kind = ItemKind.UNPLACED
        offer_ids.append(offer_id + "\n")
        content_hashes.append(content_hash(offer))
        source_times.append(time_us)
        kinds.append(kind)
    return Chunk(
        first_offset=first_offset,
        items=len(kinds),
        payload=zstandard.compress(body, level=1),
        index=ItemIndex(
            "".join(offer_ids),
            b"".join(content_hashes),
            struct.pack(f">{len(source_times)}q", *source_times),
            bytes(kinds),
        ),
        checksum=combine(previous_checksum, first_offset, items),
    )


def _read_heads(body: bytes, first_offset: int, items: Sequence[bytes]) -> Iterable[head_pb.OfferItemHead]:
    """Of all items at once, which takes a fraction of the time; or else one by one, to say which cannot be read.

    Raises SyncRequestInvalid.
    """
    with contextlib.suppress(DecodeError):
        return head_pb.PushedHeads.FromString(body).items
    heads: list[head_pb.OfferItemHead] = []
    for offset, item in enumerate(items, first_offset):
        try:
            heads.append(head_pb.OfferItemHead.FromString(item))
        except DecodeError:
            raise SyncRequestInvalid(
                f"Item {offset} is no OfferItem. Serialise each item by itself, and send its bytes."
            ) from None
    return heads


def content_hash(offer: bytes) -> bytes:
    """16 bytes over the rules' version and the offer as it was pushed."""
    hasher = _HASHER.copy()
    hasher.update(offer)
    return hasher.digest()


def _offer_id(offer: bytes) -> str:
    """'' where there is none, or none that is a text.

    Encoders write fields by their numbers, the id first. That this is so, and no later field overrides it, is checked
    when the offer is read.
    """
    try:
        if len(offer) > 1 and offer[0] == _OFFER_ID_TAG and offer[1] < 0x80:
            return offer[2 : 2 + offer[1]].decode()
        return pb.Offer.FromString(offer).offer_id
    except (UnicodeDecodeError, DecodeError):
        return ""


def _time_us(stated: bytes) -> int:
    """Of a serialised Timestamp; 0 for a time that cannot be compared."""
    try:
        time = Timestamp.FromString(stated)
    except DecodeError:
        return 0
    if not 0 <= time.seconds <= _LAST_SECOND:
        return 0
    return max(0, time.seconds * _MICROSECONDS + time.nanos // 1000)


def decode_chunk(payload: bytes) -> Sequence[bytes]:
    """The items of a stored chunk, each serialised."""
    return pb.PushOffersRequest.FromString(zstandard.decompress(payload)).items


def decode_items(payload: bytes) -> head_pb.PushedItems | None:
    """The items of a stored chunk; None where one of them is malformed. Less than a third of what one by one takes."""
    try:
        return head_pb.PushedItems.FromString(zstandard.decompress(payload))
    except DecodeError:
        return None


def pushed_bytes(payload: bytes) -> int:
    """The size of a stored chunk as it was pushed."""
    return zstandard.frame_content_size(payload)


async def store_chunks(session: WriteSession, sync_id: UUID, chunks: Iterable[Chunk]) -> None:
    driver = await session.driver()
    records = [
        (
            sync_id,
            chunk.first_offset,
            chunk.items,
            chunk.payload,
            chunk.index.offer_ids,
            chunk.index.content_hashes,
            chunk.index.source_times,
            chunk.index.kinds,
        )
        for chunk in chunks
    ]
    await driver.copy_records_to_table("sync_chunks", records=records, columns=_COLUMNS)
