"""Items put down in a file, so that a feed that moves on (a database, another system) can be read again as it was."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

_LENGTH_BYTES = 4


def snapshot(
    path: str | os.PathLike[str], items: Callable[[], Iterable[pb.OfferItem]]
) -> Callable[[], Iterator[pb.OfferItem]]:
    """A source for `Producer.push` that gives the same items however often it is asked, also after a crash.

    The first time `items` is called and what it gives is written to `path`; from then on the file is read. Name it
    after the sync's request_id, and delete it once the sync has ended.
    """
    file = Path(path)

    def read() -> Iterator[pb.OfferItem]:
        if not file.exists():
            _write(file, items())
        with file.open("rb") as stream:
            while head := stream.read(_LENGTH_BYTES):
                yield pb.OfferItem.FromString(stream.read(int.from_bytes(head, "big")))

    return read


def _write(file: Path, items: Iterable[pb.OfferItem]) -> None:
    """Whole or not at all: a crash leaves a file of another name."""
    unfinished = file.with_name(f"{file.name}.part")
    with unfinished.open("wb") as stream:
        for item in items:
            data = item.SerializeToString()
            stream.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
            stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
