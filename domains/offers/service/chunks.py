"""Batches of items as they are stored: the bytes that came, and beside them an index of what they are about.

The index is made once, when a batch comes in, of the items' heads and the bytes of their offers. All that a sync
compares (service/plan.py) is in it, so that an offer that has not changed is never read again.
"""

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
_HASHER = blake2b(digest_size=16, person=RULES_VERSION)
_read_head = head_pb.OfferItemHead.FromString
# Longer ones are refused by validation, and the index need not hold them.
_MAX_INDEXED_ID_LENGTH = 200
_MICROSECONDS = 1_000_000
_LAST_SECOND = 253_402_300_799  # the end of the year 9999
_OFFER_ID_TAG = 0x0A  # field 1, length-delimited
_COLUMNS = (
    "sync_id",
    "first_offset",
    "items",
    "payload",
    "offer_ids",
    "content_hashes",
    "source_times_us",
    "kinds",
)


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
class Chunk:
    """A batch, ready to be stored. Lists with one entry an item; `checksum` is the sync's after it."""

    first_offset: int
    payload: bytes
    offer_ids: list[str]
    content_hashes: list[bytes]
    source_times_us: list[int]
    kinds: list[int]
    checksum: bytes

    @property
    def end_offset(self) -> int:
        return self.first_offset + len(self.kinds)


def encode_chunk(previous_checksum: bytes, first_offset: int, items: Sequence[bytes]) -> Chunk:
    """`items` are serialised OfferItems. Raises SyncRequestInvalid for one that is not."""
    offer_ids: list[str] = []
    content_hashes: list[bytes] = []
    source_times_us: list[int] = []
    kinds: list[int] = []
    # Most items of a feed state the same time.
    times_us: dict[bytes, int] = {}
    for item in items:
        try:
            head = _read_head(item)
        except DecodeError:
            offset = first_offset + len(kinds)
            raise SyncRequestInvalid(
                f"Item {offset} is no OfferItem. Serialise each item by itself, and send its bytes."
            ) from None
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
        if len(offer_id) > _MAX_INDEXED_ID_LENGTH or "\0" in offer_id:
            offer_id = ""
            if kind != ItemKind.REJECTED:
                kind = ItemKind.UNPLACED
        offer_ids.append(offer_id)
        content_hashes.append(content_hash(offer))
        source_times_us.append(time_us)
        kinds.append(kind)
    return Chunk(
        first_offset=first_offset,
        payload=zstandard.compress(pb.PushOffersRequest(items=items).SerializeToString(), level=1),
        offer_ids=offer_ids,
        content_hashes=content_hashes,
        source_times_us=source_times_us,
        kinds=kinds,
        checksum=combine(previous_checksum, first_offset, items),
    )


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


async def store_chunks(session: WriteSession, sync_id: UUID, chunks: Iterable[Chunk]) -> None:
    driver = await session.driver()
    records = [
        (
            sync_id,
            chunk.first_offset,
            len(chunk.kinds),
            chunk.payload,
            chunk.offer_ids,
            chunk.content_hashes,
            chunk.source_times_us,
            chunk.kinds,
        )
        for chunk in chunks
    ]
    await driver.copy_records_to_table("sync_chunks", records=records, columns=_COLUMNS)
