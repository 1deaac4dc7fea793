"""Another mapping of a source's words: proposed, its difference shown, then applied, or discarded.

The highest version in `status_mappings` is the one that counts, so that applying is one inserted row: events that come
after it are read by the new version, and a job reads anew those that came before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from opentelemetry import metrics
from sqlalchemy import select, text

from domains.cashback.errors import (
    MappingAmbiguous,
    MappingReplaced,
    MappingUnchanged,
    ProposalNotFound,
    ReplayUnderWay,
)
from domains.cashback.models import MappingRow, ProposalRow
from domains.cashback.service import mappings
from domains.cashback.service.events import Source, source_of
from domains.cashback.states import PROPOSAL_STATES, ConversionState, ProposalState
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import least_id, new_id
from wapsi.queue import outbox
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.telemetry.lately import LatelyCounted

_P = ProposalState
COUNT_EVERY_S = 300
waiting = LatelyCounted(COUNT_EVERY_S)
metrics.get_meter(__name__).create_observable_gauge(
    "wapsi.sales.unknown_words",
    [waiting.observe],
    unit="{event}",
    description="Events with a status word that no mapping knows.",
)
PREVIEW_MAPPING = "cashback.preview_mapping"
REPLAY_MAPPING = "cashback.replay_mapping"
# No transaction lasts as long: what was written by one that had begun before is there by then.
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class WordChange:
    """`before` and `after` are our states for the word, None where the mapping does not know it."""

    word: str
    before: ConversionState | None
    after: ConversionState | None


@dataclass(frozen=True, slots=True)
class ProposalView:
    """`changes`: against version `base_version`. `version`: what it became when it was applied."""

    id: UUID
    source: str
    state: ProposalState
    words: Mapping[str, str]
    note: str
    base_version: int
    changes: list[WordChange]
    version: int | None
    events_looked_at: int
    error: str
    created_by: str
    created_at: datetime
    previewed_at: datetime | None
    applied_by: str | None
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class MappingView:
    """A version that counts (`active`), or did."""

    id: UUID
    source: str
    version: int
    words: Mapping[str, str]
    active: bool
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownWord:
    """A word that no mapping of the source knows, and the events that wait for one that does."""

    source: str
    word: str
    events: int
    first_at: datetime
    last_at: datetime


async def source_named(session: ReadSession, name: str) -> Source:
    """A network's slug, or direct: and a merchant's. Raises NetworkNotFound and MerchantNotFound."""
    merchant = name.removeprefix("direct:")
    return await source_of(session, "" if merchant != name else name, merchant)


async def propose(
    session: WriteSession, principal: Principal, source: str, words: Mapping[str, str], note: str
) -> ProposalView:
    """`words` are all that the mapping is to know. Nothing is read by it before it is applied.

    Raises NetworkNotFound, MerchantNotFound, MappingAmbiguous and MappingUnchanged.
    """
    await source_named(session, source)
    wanted: dict[str, str] = {}
    for word, state in words.items():
        if wanted.setdefault(mappings.normal(word), state) != state:
            raise MappingAmbiguous(f"The word “{mappings.normal(word)}” is there twice, with different states.")
    version, known = await mappings.active(await session.driver(), source)
    if wanted == known:
        raise MappingUnchanged(f"Version {version} of {source} reads every word in this way already.")
    row = ProposalRow(
        id=new_id(),
        source=source,
        words=wanted,
        note=note,
        state=_P.PROPOSED,
        base_version=version,
        changed=_to_replay(known, wanted),
        created_by=str(principal),
        events_looked_at=0,
        error="",
        created_at=now(),
        updated_at=now(),
    )
    session.add(row)
    await session.flush()
    await audit.record(
        session,
        principal,
        action="mapping.proposed",
        target=f"mapping:{row.id}",
        before=None,
        after={"source": source, "base_version": version, "changed": _changed_words(known, wanted)},
    )
    return await _view(session, row)


def _to_replay(known: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """A word that is dropped is not among them: what it said was true when it was said."""
    return {word: state for word, state in wanted.items() if known.get(word) != state}


def _changed_words(known: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, list[str | None]]:
    words = sorted(known.keys() | wanted.keys())
    return {word: [known.get(word), wanted.get(word)] for word in words if known.get(word) != wanted.get(word)}


async def preview(session: WriteSession, principal: Principal, proposal_id: UUID) -> ProposalView:
    """Has a job work out what applying it would change. Raises ProposalNotFound and IllegalMove."""
    row = await _locked(session, proposal_id)
    before = row.state
    if row.version is not None:
        PROPOSAL_STATES.check(_P.APPLIED, _P.PREVIEWING)
    row.state = PROPOSAL_STATES.check(_P(row.state), _P.PREVIEWING)
    row.base_version, known = await mappings.active(await session.driver(), row.source)
    row.changed = _to_replay(known, row.words)
    row.looked_upto, row.events_looked_at, row.error = None, 0, ""
    row.previewed_at = row.updated_at = now()
    await session.flush()
    await outbox.enqueue(session, PREVIEW_MAPPING, {"proposal_id": str(proposal_id)})
    await _audit(session, principal, "mapping.previewed", row, before)
    return await _view(session, row)


async def apply(session: WriteSession, principal: Principal, proposal_id: UUID) -> ProposalView:
    """Makes it the version that counts, now, and has a job read anew what came before.

    One that stopped half way is gone on with. Raises ProposalNotFound, IllegalMove, MappingReplaced where it was
    previewed against a version that has been replaced since, and ReplayUnderWay.
    """
    row = await _locked(session, proposal_id)
    before = row.state
    if row.version is None and row.state == _P.STOPPED:
        PROPOSAL_STATES.check(_P.PROPOSED, _P.APPLYING)
    target = PROPOSAL_STATES.check(_P(row.state), _P.APPLYING)
    if row.version is None:
        await _activate(session, principal, row)
    row.state, row.error, row.updated_at = target, "", now()
    await session.flush()
    await outbox.enqueue(session, REPLAY_MAPPING, {"proposal_id": str(proposal_id)})
    await _audit(session, principal, "mapping.applied", row, before)
    return await _view(session, row)


async def _activate(session: WriteSession, principal: Principal, row: ProposalRow) -> None:
    version, _ = await mappings.active(await session.driver(), row.source)
    if version != row.base_version:
        raise MappingReplaced(
            f"Version {version} counts by now, and the difference was shown against {row.base_version}:"
            " preview it again.",
            version=version,
        )
    other = await session.scalar(
        select(ProposalRow.id).where(
            ProposalRow.source == row.source,
            ProposalRow.version.is_not(None),
            ProposalRow.state.in_([_P.APPLYING, _P.STOPPED]),
        )
    )
    if other is not None:
        raise ReplayUnderWay(f"Another mapping of {row.source} is being applied.", proposal_id=str(other))
    row.version, row.applied_by, row.activated_at = version + 1, str(principal), now()
    # What the preview has not seen, and what was written while it looked.
    assert row.previewed_at is not None
    row.looked_upto = min(row.looked_upto or UUID(int=0), least_id(row.previewed_at - OVERLAP))
    session.add(
        MappingRow(
            id=new_id(),
            source=row.source,
            version=row.version,
            mapping=row.words,
            created_by=str(principal),
            created_at=row.activated_at,
        )
    )


async def discard(session: WriteSession, principal: Principal, proposal_id: UUID) -> ProposalView:
    """Raises ProposalNotFound and IllegalMove."""
    row = await _locked(session, proposal_id)
    before = row.state
    if row.version is not None:
        PROPOSAL_STATES.check(_P.APPLIED, _P.DISCARDED)
    row.state = PROPOSAL_STATES.check(_P(row.state), _P.DISCARDED)
    row.updated_at = now()
    await session.flush()
    await _audit(session, principal, "mapping.discarded", row, before)
    return await _view(session, row)


async def _locked(session: WriteSession, proposal_id: UUID) -> ProposalRow:
    """With all proposals of its source, so that two are never applied at once."""
    source = await session.scalar(select(ProposalRow.source).where(ProposalRow.id == proposal_id))
    if source is not None:
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"mapping of {source}"}
        )
    row = await session.get_locked(ProposalRow, proposal_id)
    if row is None:
        raise _not_found(proposal_id)
    return row


def _not_found(proposal_id: UUID) -> ProposalNotFound:
    return ProposalNotFound("There is no such proposed mapping.", proposal_id=str(proposal_id))


async def _audit(session: WriteSession, principal: Principal, action: str, row: ProposalRow, before: str) -> None:
    await audit.record(
        session,
        principal,
        action=action,
        target=f"mapping:{row.id}",
        before={"state": before},
        after={"state": row.state, "source": row.source, "version": row.version},
    )


async def get_proposal(session: ReadSession, proposal_id: UUID) -> ProposalView:
    """Raises ProposalNotFound."""
    row = await session.get(ProposalRow, proposal_id)
    if row is None:
        raise _not_found(proposal_id)
    return await _view(session, row)


async def list_proposals(
    session: ReadSession, *, limit: int, source: str | None = None, before: UUID | None = None
) -> list[ProposalView]:
    """The newest first."""
    statement = select(ProposalRow).order_by(ProposalRow.id.desc()).limit(limit)
    if source is not None:
        statement = statement.where(ProposalRow.source == source)
    if before is not None:
        statement = statement.where(ProposalRow.id < before)
    return [await _view(session, row) for row in await session.scalars(statement)]


async def list_mappings(
    session: ReadSession, *, limit: int, source: str | None = None, before: UUID | None = None
) -> list[MappingView]:
    """Every version of every source, the newest first."""
    statement = select(MappingRow).order_by(MappingRow.id.desc()).limit(limit)
    if source is not None:
        statement = statement.where(MappingRow.source == source)
    if before is not None:
        statement = statement.where(MappingRow.id < before)
    rows = (await session.scalars(statement)).all()
    latest: dict[str, int] = {}
    for row in (
        await session.execute(
            text("SELECT source, max(version) AS version FROM status_mappings WHERE source = ANY(:sources) GROUP BY 1"),
            {"sources": sorted({row.source for row in rows})},
        )
    ).all():
        latest[row.source] = row.version
    return [
        MappingView(
            row.id,
            row.source,
            row.version,
            row.mapping,
            row.version == latest[row.source],
            row.created_by,
            row.created_at,
        )
        for row in rows
    ]


async def unknown_words(session: ReadSession, *, limit: int = 200) -> list[UnknownWord]:
    """Those with the most events first."""
    rows = await session.execute(
        text(
            "SELECT source, raw_status AS word, count(*) AS events, min(received_at) AS first_at,"
            " max(received_at) AS last_at FROM conversion_events WHERE outcome = 'unknown_status'"
            " GROUP BY source, raw_status ORDER BY count(*) DESC, source, raw_status LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [UnknownWord(row.source, row.word, row.events, row.first_at, row.last_at) for row in rows]


async def count_unknown_words(session: ReadSession) -> int:
    """How many events wait for a mapping that knows their word, up to some thousand; said in the metrics, too."""
    found = await session.scalar(
        text(
            "SELECT count(*) FROM (SELECT FROM conversion_events WHERE outcome = 'unknown_status' LIMIT 20000) AS some"
        )
    )
    waiting.take(int(found or 0))
    return int(found or 0)


async def _view(session: ReadSession, row: ProposalRow) -> ProposalView:
    base = await session.scalar(
        select(MappingRow.mapping).where(MappingRow.source == row.source, MappingRow.version == row.base_version)
    )
    changed = _changed_words(base or {}, row.words)
    return ProposalView(
        id=row.id,
        source=row.source,
        state=_P(row.state),
        words=row.words,
        note=row.note,
        base_version=row.base_version,
        changes=[WordChange(word, _state(before), _state(after)) for word, (before, after) in changed.items()],
        version=row.version,
        events_looked_at=row.events_looked_at,
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        previewed_at=row.previewed_at,
        applied_by=row.applied_by,
        activated_at=row.activated_at,
    )


def _state(name: str | None) -> ConversionState | None:
    return None if name is None else ConversionState(name)
