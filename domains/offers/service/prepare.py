"""The part of a publication that costs the processor: chunks decoded, items validated, rows made. Runs in threads."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, repeat
from typing import Any

from google.protobuf.message import DecodeError

from domains.offers.service.chunks import ItemIndex, decode_chunk, decode_items
from domains.offers.service.copying import copy_lines
from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import Action, ChunkWork, from_microseconds
from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item, validate_ordinary
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
# A lower-case letter says that there are issues, which are looked for anyway.
_ACTIONS = {letter: action for action in Action for letter in (action.value, action.value.lower())}
_CANDIDATES = frozenset({Action.CREATE, Action.UPDATE})
# Of those, the letters of items about which their producer has nothing to say.
_ORDINARY = frozenset(action.value for action in _CANDIDATES)
# Where fewer of a chunk's items are new or changed than one in so many, they are read one by one.
_WORTH_ALL = 4


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
        offer_ids = chunk.index.ids()
        done = Prepared(chunk.work.first_offset + len(offer_ids))
        ordinary, rest = self._read_ordinary(chunk, offer_ids)
        creates: list[tuple[Any, ...]] = []
        if rest:
            items = decode_chunk(chunk.payload)
            for position, letter in rest:
                self._prepare_item(chunk, position, letter, offer_ids[position], items[position], done, creates)
        done.updates += ordinary.rows(Action.UPDATE)
        new = ordinary.of(Action.CREATE)
        if new or creates:
            done.create_columns, columns = without_empty_columns(new, creates)
            done.creates = copy_lines(columns)
        self.took_s += time.perf_counter() - started_s
        return done

    def _read_ordinary(
        self, chunk: ChunkRead, offer_ids: Sequence[str]
    ) -> tuple["_Ordinary", Sequence[tuple[int, str]]]:
        """(the offers that can be read all at once, the work that is left to be done item by item)"""
        work = list(chunk.work.items())
        candidates = [(position, letter) for position, letter in work if letter in _ORDINARY]
        if not self._candidates or len(candidates) * _WORTH_ALL < len(offer_ids):
            return _Ordinary((), {}, ()), work
        items = decode_items(chunk.payload)
        if items is None:
            return _Ordinary((), {}, ()), work
        positions = [position for position, _ in candidates]
        if len(positions) < len(items):
            items = [items[position] for position in positions]
        columns, odd = validate_ordinary(items, self._rules)
        ids = [offer_ids[position] for position in positions]
        if columns["offer_id"] != ids:
            odd.update(place for place, offer_id in enumerate(columns["offer_id"]) if offer_id != ids[place])
        hashes, times_us = chunk.index.hashes(), chunk.index.times_us()
        keys = (
            ids,
            [self._moment(times_us[position]) for position in positions],
            [hashes[position] for position in positions],
        )
        actions = ["" if place in odd else letter for place, (_, letter) in enumerate(candidates)]
        left = {positions[place] for place in odd}
        rest = [(position, letter) for position, letter in work if letter not in _ORDINARY or position in left]
        return _Ordinary(keys, columns, actions), rest

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


Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Ordinary:
    """Columns of offers, and what is to be done with each: a letter of Action, or '' where another look decides."""

    keys: Sequence[Sequence[Any]]
    content: Columns
    actions: Sequence[str]

    def of(self, action: Action) -> Columns:
        """Those of the columns of STATED_COLUMNS that are there, with the offers of this action alone."""
        count = self.actions.count(action)
        if not count:
            return {}
        columns: Columns = {**self.content, **dict(zip(_KEY_COLUMNS, self.keys, strict=True))}
        if count == len(self.actions):
            return columns
        chosen = [letter == action for letter in self.actions]
        return {name: list(compress(column, chosen)) for name, column in columns.items()}

    def rows(self, action: Action) -> Iterable[tuple[Any, ...]]:
        columns = self.of(action)
        if not columns:
            return ()
        count = len(columns["offer_id"])
        return zip(*(columns.get(name) or repeat(DEFAULTS[name], count) for name in STATED_COLUMNS), strict=True)


def without_empty_columns(
    columns: Columns, rows: Sequence[tuple[Any, ...]]
) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    """Of offers that are given by columns, and others by rows of STATED_COLUMNS: (the columns that are not everywhere
    what the table has by default, the values of each). What is not copied costs neither us nor the database anything.
    """
    of_rows = dict(zip(STATED_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    count = len(columns["offer_id"]) if columns else 0
    kept: dict[str, Sequence[Any]] = {}
    for name in STATED_COLUMNS:
        first, second = columns.get(name, ()), of_rows.get(name, ())
        if name not in _KEY_COLUMNS and _is_empty(first, DEFAULTS[name]) and _is_empty(second, DEFAULTS[name]):
            continue
        kept[name] = first if not rows else [*(first or repeat(DEFAULTS.get(name), count)), *second]
    return tuple(kept), list(kept.values())


def _is_empty(column: Sequence[Any], default: Any) -> bool:
    # Most columns that are not show it at their first value.
    return not column or (column[0] == default and column.count(default) == len(column))


def _malformed() -> pb.Issue:
    message = "Its bytes are no OfferItem, or its fields are out of order. Serialise it with a protobuf library."
    return error("ITEM_MALFORMED", "", message)
