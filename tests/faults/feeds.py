"""Feeds that every process makes the same: a feed is a few numbers, and so is what shoppers see after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

_EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Feed:
    """A merchant's `size` offers at its `revision`.

    From one revision to the next the price of every `change_every`-th offer changes, the `shift` oldest offers are
    gone, and as many new ones are there.
    """

    size: int
    revision: int = 0
    change_every: int = 1
    shift: int = 0

    @property
    def as_of(self) -> datetime:
        return _EPOCH + timedelta(minutes=self.revision)

    def prices(self) -> dict[str, int]:
        """{offer_id: price in minor units}: what is visible once the feed has been published."""
        first = self.revision * self.shift
        return {f"p{n}": self._price_minor(n) for n in range(first, first + self.size)}

    def items(self) -> Iterator[pb.OfferItem]:
        for offer_id, price_minor in self.prices().items():
            yield make_item(offer_id, price_minor, at=self.as_of)

    def _price_minor(self, n: int) -> int:
        return 100_000 + n % 1000 * 100 + (self.revision if n % self.change_every == 0 else 0)

    def arguments(self) -> list[str]:
        """For a command line; `Feed(*map(int, arguments))` is the feed again."""
        return [str(value) for value in (self.size, self.revision, self.change_every, self.shift)]


def make_item(offer_id: str, price_minor: int, *, at: datetime = _EPOCH) -> pb.OfferItem:
    item = pb.OfferItem(
        offer=pb.Offer(
            offer_id=offer_id,
            title=f"Cotton kurta {offer_id}",
            description="Hand-woven, with a band collar and pockets at the sides; wash it cold.",
            link=f"https://shop.example/p/{offer_id}",
            availability=pb.AVAILABILITY_IN_STOCK,
            price=pb.Money(amount_minor=price_minor, currency="PKR"),
            brand="Mehr",
        ),
        line=1,
    )
    item.source_time.FromDatetime(at)
    return item


def encoded(items: Sequence[pb.OfferItem]) -> list[bytes]:
    return [item.SerializeToString(deterministic=True) for item in items]


def push_request(sync_id: str, offset: int, items: Sequence[pb.OfferItem]) -> pb.PushOffersRequest:
    return pb.PushOffersRequest(sync_id=sync_id, offset=offset, items=encoded(items))


def finish_request(sync_id: str, items: Sequence[pb.OfferItem]) -> pb.FinishSyncRequest:
    """With the count and checksum of `items`."""
    return pb.FinishSyncRequest(sync_id=sync_id, count=len(items), checksum=combine(EMPTY_CHECKSUM, 0, encoded(items)))
