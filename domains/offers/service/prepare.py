"""The part of a publication that costs the processor: chunks decoded, items validated, rows made. Runs in threads."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, repeat
from typing import Any
from uuid import UUID

from google.protobuf.message import DecodeError

from domains.offers.service.chunks import ItemIndex, decode_chunk, decode_items
from domains.offers.service.copying import copy_lines
from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import Action, ChunkWork, from_microseconds
from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item
from domains.offers.validation.columns import validate_ordinary
from domains.offers.validation.issues import error
from wapsi.ids import AscendingIDs
from wapsi.rpc.offers.v1 import offer_item_head_pb2 as head_pb
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# What a feed states of an offer, in the order in which rows are made.
CONTENT_COLUMNS = tuple(name.removesuffix("_json") for name in ValidatedOffer._fields[1:])
_KEY_COLUMNS = ("offer_id", "source_time", "content_hash")
OWN_COLUMNS = ("merchant_id", "catalogue_version", "id")
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
# So many are taken out of columns one by one in less time than the others are picked.
_FEW = 30


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """A stored chunk and what is planned for its items."""

    work: ChunkWork
    payload: bytes
    index: ItemIndex


@dataclass(slots=True)
class Prepared:
    """The work of one chunk. Deletions are {offer_id: microseconds since 1970}.

    Rows to be updated hold STATED_COLUMNS. Those to be created are `created` lines for COPY and hold `create_columns`:
    OWN_COLUMNS, and those of STATED_COLUMNS that this chunk's offers have anything in.
    """

    end_offset: int
    created: int = 0
    creates: bytes = b""
    create_columns: tuple[str, ...] = ()
    updates: list[tuple[Any, ...]] = field(default_factory=list)
    withdraw: dict[str, int] = field(default_factory=dict)
    # Deletions of offers that are not there: an older message about them must not bring them in.
    entomb: dict[str, int] = field(default_factory=dict)
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What validate_ordinary says of the items of a chunk, or of those of them that were asked for.

    The chunk's `items` are left out where it is kept: they take as much memory as all else, and few are asked for.
    """

    items: Sequence[pb.OfferItem] | None
    columns: "Columns"
    odd: set[int]


# By the offset of a chunk's first item.
Looks = dict[int, Look]


def look_at(payload: bytes, rules: ValidationRules, positions: Sequence[int] | None = None) -> Look | None:
    """At the items of a chunk, or at those at these positions. None where an item is malformed."""
    batch = decode_items(payload)
    if batch is None:
        return None
    items = batch.items
    if positions is not None:
        batch = head_pb.PushedItems(items=[items[position] for position in positions])
    columns, odd = validate_ordinary(batch, rules)
    return Look(items, columns, odd)


class NewOffers:
    """What offers that are new have beside what their feed states, the same for all but the id."""

    def __init__(self, merchant_id: UUID, version: int, ids: AscendingIDs) -> None:
        self._own = f"{merchant_id.hex}\t{version}\t"
        self._ids = ids

    def lines(self, columns: Sequence[Sequence[Any]]) -> bytes:
        """For COPY, the values of OWN_COLUMNS before those of the columns."""
        lines = copy_lines([self._ids.take(len(columns[0])), *columns])
        return "".join((self._own, f"\n{self._own}".join(lines), "\n")).encode()


class Preparation:
    """Prepares chunk after chunk, one at a time. What is wrong with items goes to `issues`.

    Without `new_offers` what would be written is left out: for a sync that will not be published. `looks` are those
    that were taken before, by the same rules.
    """

    def __init__(
        self, rules: ValidationRules, issues: IssueLog, new_offers: NewOffers | None, looks: Looks | None = None
    ) -> None:
        self._looks = looks or {}
        self._rules = rules
        self._issues = issues
        self._new_offers = new_offers
        self.took_s = 0.0
        self._stated_us = 0
        self._stated_at = from_microseconds(0)

    def prepare(self, chunk: ChunkRead) -> Prepared:
        started_s = time.perf_counter()
        offer_ids = chunk.index.ids()
        done = Prepared(chunk.work.first_offset + len(offer_ids))
        ordinary, rest, items = self._read_ordinary(chunk, offer_ids)
        creates: list[tuple[Any, ...]] = []
        if rest:
            stored = decode_chunk(chunk.payload) if items is None else ()
            for position, letter in rest:
                offer_id = offer_ids[position]
                item = _decoded(stored[position], offer_id) if items is None else items[position]
                self._prepare_item(chunk, position, letter, offer_id, item, done, creates)
        done.updates += ordinary.rows(Action.UPDATE)
        new = ordinary.of(Action.CREATE)
        if self._new_offers is not None and (new or creates):
            names, columns = without_empty_columns(new, creates)
            done.created, done.create_columns = len(columns[0]), OWN_COLUMNS + names
            done.creates = self._new_offers.lines(columns)
        self.took_s += time.perf_counter() - started_s
        return done

    def _read_ordinary(
        self, chunk: ChunkRead, offer_ids: Sequence[str]
    ) -> tuple["_Ordinary", Sequence[tuple[int, str]], Sequence[pb.OfferItem] | None]:
        """(the offers that can be read all at once, the work that is left to be done item by item, the items)"""
        work, look = chunk.work, self._looks.pop(chunk.work.first_offset, None)
        positions, letters = work.places(), work.actions
        all_ordinary = _ORDINARY.issuperset(letters)
        if not all_ordinary:
            candidates = [(position, letter) for position, letter in work.items() if letter in _ORDINARY]
            positions = tuple(position for position, _ in candidates)
            letters = "".join(letter for _, letter in candidates)
        if self._new_offers is None or len(positions) * _WORTH_ALL < len(offer_ids):
            return _Ordinary((), {}, ()), list(work.items()), None
        if len(positions) < len(offer_ids):
            look = look_at(chunk.payload, self._rules, positions)
        elif look is None:
            look = look_at(chunk.payload, self._rules)
        if look is None:
            return _Ordinary((), {}, ()), list(work.items()), None
        odd = look.odd
        keys = self._keys(chunk.index, offer_ids, positions)
        if look.columns["offer_id"] != keys[0]:
            odd.update(place for place, id_ in enumerate(look.columns["offer_id"]) if id_ != keys[0][place])
        actions = list(letters)
        for place in odd:
            actions[place] = ""
        rest: Sequence[tuple[int, str]] = ()
        if odd or not all_ordinary:
            left = {positions[place] for place in odd}
            rest = [
                (position, letter) for position, letter in work.items() if letter not in _ORDINARY or position in left
            ]
        return _Ordinary(keys, look.columns, actions), rest, look.items

    def _keys(self, index: ItemIndex, offer_ids: Sequence[str], positions: Sequence[int]) -> Sequence[Sequence[Any]]:
        """The values of _KEY_COLUMNS of the items at these positions, in ascending order."""
        hashes, times_us = index.hashes(), index.times_us()
        if len(positions) < len(offer_ids):
            offer_ids = [offer_ids[position] for position in positions]
            hashes = [hashes[position] for position in positions]
            times_us = tuple(times_us[position] for position in positions)
        # Most feeds state all their items at one time.
        moments = {time_us: from_microseconds(time_us) for time_us in set(times_us)}
        return offer_ids, [moments[time_us] for time_us in times_us], hashes

    def _prepare_item(
        self,
        chunk: ChunkRead,
        position: int,
        letter: str,
        offer_id: str,
        item: pb.OfferItem,
        done: Prepared,
        creates: list[tuple[Any, ...]],
    ) -> None:
        offset = chunk.work.first_offset + position
        action = _ACTIONS[letter]
        if item.issues:
            self._issues.add(offset, item, item.issues)
        if action is Action.DUPLICATE:
            self._issues.add_superseded(offset, item.line, offer_id)
        elif action in _CANDIDATES:
            if self._new_offers is not None:
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
        others = [place for place, letter in enumerate(self.actions) if letter != action]
        if len(others) <= _FEW:
            return {name: _without(column, others) for name, column in columns.items()}
        chosen = [letter == action for letter in self.actions]
        return {name: list(compress(column, chosen)) for name, column in columns.items()}

    def rows(self, action: Action) -> Iterable[tuple[Any, ...]]:
        columns = self.of(action)
        if not columns:
            return ()
        count = len(columns["offer_id"])
        return zip(*(columns.get(name) or repeat(DEFAULTS[name], count) for name in STATED_COLUMNS), strict=True)


def _without(column: Sequence[Any], places: Sequence[int]) -> list[Any]:
    kept = list(column)
    for place in reversed(places):
        del kept[place]
    return kept


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


def _decoded(raw: bytes, offer_id: str) -> pb.OfferItem:
    try:
        return pb.OfferItem.FromString(raw)
    except DecodeError:
        return pb.OfferItem(rejected_offer_id=offer_id, issues=[_malformed()])


def _malformed() -> pb.Issue:
    message = "Its bytes are no OfferItem, or its fields are out of order. Serialise it with a protobuf library."
    return error("ITEM_MALFORMED", "", message)
