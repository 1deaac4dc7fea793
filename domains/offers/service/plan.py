"""What a sync would change, found without validating or copying anything that has not changed.

The stored hashes of a merchant's offers are read once and compared in memory with the hashes of the pushed items.
An item whose hash is stored was accepted before under the same rules; only the others are validated and written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from domains.offers.validation import content_hash
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

SHRINK_GUARD_MIN_OFFERS = 20
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class StoredOffer:
    """What the diff needs of an offer in the table. Times in microseconds since 1970."""

    content_hash: bytes
    source_time_us: int
    active: bool


@dataclass(frozen=True, slots=True)
class NewestItem:
    """The newest item of one offer_id in this sync."""

    offset: int
    line: int
    source_time_us: int
    content_hash: bytes
    delete: bool


@dataclass(slots=True)
class Survey:
    """All items of a sync, reduced to the newest one of each offer_id.

    Items stated later than `latest_us`, or without an id or a time, cannot be compared: they go to `unplaced`, and
    validation says what is wrong with each.
    """

    latest_us: int
    newest: dict[str, NewestItem] = field(default_factory=dict)
    # Items that came without an offer: the producer could not make one of the row.
    without_offer: int = 0
    # (offset, line, offer_id) of items that lost to a newer one of the same offer_id.
    superseded: list[tuple[int, int, str]] = field(default_factory=list)
    unplaced: set[int] = field(default_factory=set)
    # Ids of unplaced items and of rows without an offer: a bad row still says that the merchant has the offer.
    mentioned: set[str] = field(default_factory=set)

    def add(self, first_offset: int, items: Iterable[pb.OfferItem]) -> None:
        for offset, item in enumerate(items, first_offset):
            if not item.HasField("offer"):
                self.without_offer += 1
                self.mentioned.add(item.rejected_offer_id)
                continue
            offer = item.offer
            stated_us = _microseconds(item)
            if not offer.offer_id or not 0 < stated_us <= self.latest_us:
                self.unplaced.add(offset)
                self.mentioned.add(offer.offer_id)
                continue
            newcomer = NewestItem(offset, item.line, stated_us, content_hash(offer), offer.delete)
            known = self.newest.get(offer.offer_id)
            if known is not None and known.source_time_us > newcomer.source_time_us:
                self.superseded.append((offset, item.line, offer.offer_id))
                continue
            if known is not None:
                self.superseded.append((known.offset, known.line, offer.offer_id))
            self.newest[offer.offer_id] = newcomer


@dataclass(slots=True)
class Plan:
    """What to do with each offer_id. Offsets point into the sync's items; offers by id."""

    create: set[int] = field(default_factory=set)
    update: set[int] = field(default_factory=set)
    # Explicit deletions: of offers that are there, and of ones that are not (a tombstone is made).
    withdraw: dict[str, int] = field(default_factory=dict)
    entomb: dict[str, int] = field(default_factory=dict)
    # Unchanged, but stated later than the new floor: their time is moved. {offer_id: microseconds}
    touch: dict[str, int] = field(default_factory=dict)
    withdraw_unseen: list[str] = field(default_factory=list)
    unchanged: int = 0
    stale: int = 0
    active_before: int = 0

    def shrinks_too_much(self, limit_percent: int) -> bool:
        """Whether the unseen offers are more than that share of what customers see now."""
        if self.active_before < SHRINK_GUARD_MIN_OFFERS:
            return False
        return len(self.withdraw_unseen) * 100 > self.active_before * limit_percent


def make_plan(
    survey: Survey,
    stored: Mapping[str, StoredOffer],
    *,
    floor_us: int,
    full: bool,
    as_of_us: int,
) -> Plan:
    """`floor_us`: every active offer counts as stated at least then (see CatalogueRow)."""
    plan = Plan(active_before=sum(offer.active for offer in stored.values()))
    new_floor_us = new_floor(survey) if full else 0
    for offer_id, item in survey.newest.items():
        known = stored.get(offer_id)
        if known is None:
            if item.delete:
                plan.entomb[offer_id] = item.source_time_us
            else:
                plan.create.add(item.offset)
        elif item.source_time_us < _stated_at(known, floor_us):
            plan.stale += 1
        elif item.delete:
            plan.withdraw[offer_id] = item.source_time_us
        elif known.active and known.content_hash == item.content_hash:
            plan.unchanged += 1
            if item.source_time_us > max(new_floor_us, _stated_at(known, floor_us)):
                plan.touch[offer_id] = item.source_time_us
        else:
            plan.update.add(item.offset)
    if full:
        plan.withdraw_unseen = [
            offer_id
            for offer_id, known in stored.items()
            if known.active
            and offer_id not in survey.newest
            and offer_id not in survey.mentioned
            and _stated_at(known, floor_us) <= as_of_us
        ]
    return plan


def new_floor(survey: Survey) -> int:
    """The oldest time that this feed states, 0 for an empty one."""
    return min((item.source_time_us for item in survey.newest.values()), default=0)


def _stated_at(known: StoredOffer, floor_us: int) -> int:
    return max(known.source_time_us, floor_us) if known.active else known.source_time_us


def _microseconds(item: pb.OfferItem) -> int:
    return item.source_time.seconds * _MICROSECONDS + item.source_time.nanos // 1000


def to_microseconds(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * _MICROSECONDS + delta.microseconds


def from_microseconds(value: int) -> datetime:
    seconds, rest = divmod(value, _MICROSECONDS)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest)
