"""The part of a publication that costs the processor: chunks decoded, items validated, rows made. Runs in threads."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError

from domains.offers.service.chunks import ItemIndex, decode_chunk
from domains.offers.service.copying import copy_lines
from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import Action, ChunkWork, from_microseconds
from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item
from domains.offers.validation.issues import error
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# What a feed states of an offer, in the order in which rows are made.
CONTENT_COLUMNS = tuple(name.removesuffix("_json") for name in ValidatedOffer._fields[1:])
_KEY_COLUMNS = ("offer_id", "source_time", "content_hash")
STATED_COLUMNS = (*_KEY_COLUMNS, *CONTENT_COLUMNS)
# As the table has them.
DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(CONTENT_COLUMNS, ""),
    **dict.fromkeys(("price_minor", "currency", "sale_price_minor", "sale_starts_at", "sale_ends_at")),
    **dict.fromkeys(("expires_at", "starts_at", "ends_at")),
    **{name: [] for name in ("additional_image_links", "gtins", "product_types")},
    "kind": "product",
    "availability": "in_stock",
    "adult": False,
    "cashback_eligible": True,
    "custom_attributes": "{}",
}
_DEFAULT_OF_COLUMN = tuple(DEFAULTS[name] for name in CONTENT_COLUMNS)
# A lower-case letter says that there are issues, which are looked for anyway.
_ACTIONS = {letter: action for action in Action for letter in (action.value, action.value.lower())}
_CANDIDATES = frozenset({Action.CREATE, Action.UPDATE})


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """A stored chunk and what is planned for its items."""

    work: ChunkWork
    payload: bytes
    index: ItemIndex


@dataclass(slots=True)
class Prepared:
    """The work of one chunk. Deletions are {offer_id: microseconds since 1970}.

    Rows to be updated hold STATED_COLUMNS. Those to be created are lines for COPY and hold `create_columns`, those of
    them that this chunk's offers have anything in.
    """

    end_offset: int
    creates: list[str] = field(default_factory=list)
    create_columns: tuple[str, ...] = STATED_COLUMNS
    updates: list[tuple[Any, ...]] = field(default_factory=list)
    withdraw: dict[str, int] = field(default_factory=dict)
    # Deletions of offers that are not there: an older message about them must not bring them in.
    entomb: dict[str, int] = field(default_factory=dict)
    rejected: int = 0


class Preparation:
    """Prepares chunk after chunk, one at a time. What is wrong with items goes to `issues`.

    `candidates=False` leaves out what would be written: for a sync that will not be published.
    """

    def __init__(self, rules: ValidationRules, issues: IssueLog, *, candidates: bool) -> None:
        self._rules = rules
        self._issues = issues
        self._candidates = candidates
        self.took_s = 0.0
        self._stated_us = 0
        self._stated_at = from_microseconds(0)

    def prepare(self, chunk: ChunkRead) -> Prepared:
        started_s = time.perf_counter()
        items = decode_chunk(chunk.payload)
        offer_ids = chunk.index.ids()
        done = Prepared(chunk.work.first_offset + len(items))
        creates: list[tuple[Any, ...]] = []
        for position, letter in chunk.work.items():
            self._prepare_item(chunk, position, letter, offer_ids[position], items[position], done, creates)
        if creates:
            done.create_columns, columns = without_empty_columns(creates)
            done.creates = copy_lines(columns)
        self.took_s += time.perf_counter() - started_s
        return done

    def _prepare_item(
        self,
        chunk: ChunkRead,
        position: int,
        letter: str,
        offer_id: str,
        raw: bytes,
        done: Prepared,
        creates: list[tuple[Any, ...]],
    ) -> None:
        offset = chunk.work.first_offset + position
        action = _ACTIONS[letter]
        try:
            item = pb.OfferItem.FromString(raw)
        except DecodeError:
            item = pb.OfferItem(rejected_offer_id=offer_id, issues=[_malformed()])
        if item.issues:
            self._issues.add(offset, item, item.issues)
        if action is Action.DUPLICATE:
            self._issues.add_superseded(offset, item.line, offer_id)
        elif action in _CANDIDATES:
            if self._candidates:
                rows = creates if action is Action.CREATE else done.updates
                self._prepare_candidate(chunk, position, action, offer_id, item, done, rows)
        elif action is Action.REJECTED:
            done.rejected += 1
            if not item.issues:
                _, problems = validate_item(item, self._rules)
                self._issues.add(offset, item, problems)
        elif action is Action.UNPLACED:
            done.rejected += 1
            _, problems = validate_item(item, self._rules)
            if not item.issues or problems:
                self._issues.add(offset, item, problems or [_malformed()])

    def _prepare_candidate(
        self,
        chunk: ChunkRead,
        position: int,
        action: Action,
        offer_id: str,
        item: pb.OfferItem,
        done: Prepared,
        rows: list[tuple[Any, ...]],
    ) -> None:
        if item.rejected_offer_id and not item.HasField("offer"):
            done.rejected += 1  # it could not be decoded, and the issue is noted
            return
        offer, problems = validate_item(item, self._rules)
        if offer is not None and offer.offer_id != offer_id:
            offer, problems = None, [_malformed()]
        if problems:
            self._issues.add(chunk.work.first_offset + position, item, problems)
        time_us = chunk.index.time_us(position)
        if offer is None:
            done.rejected += 1
        elif not offer.title and item.offer.delete:  # an offer that is sold has a title, and reading takes time
            (done.entomb if action is Action.CREATE else done.withdraw)[offer_id] = time_us
        else:
            rows.append((offer_id, self._moment(time_us), chunk.index.content_hash(position), *offer[1:]))

    def _moment(self, time_us: int) -> datetime:
        # Most feeds state all their items at one time.
        if time_us != self._stated_us:
            self._stated_us, self._stated_at = time_us, from_microseconds(time_us)
        return self._stated_at


def without_empty_columns(rows: list[tuple[Any, ...]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """(the columns that are not everywhere what the table has by default, the values of each): what is not copied costs
    neither us nor the database anything.
    """
    columns = list(zip(*rows, strict=True))
    keys = len(_KEY_COLUMNS)
    kept = [
        index
        for index, (column, default) in enumerate(zip(columns[keys:], _DEFAULT_OF_COLUMN, strict=True), keys)
        if column.count(default) != len(rows)
    ]
    used = [*range(keys), *kept]
    return tuple(STATED_COLUMNS[index] for index in used), [columns[index] for index in used]


def _malformed() -> pb.Issue:
    message = "Its bytes are no OfferItem, or its fields are out of order. Serialise it with a protobuf library."
    return error("ITEM_MALFORMED", "", message)
