"""Checks everything that is stored against the ledger's invariants and its seals, and names what breaks them."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import metrics
from sqlalchemy import select, text

from domains.cashback.models import VerificationRow
from domains.cashback.service import seals
from domains.cashback.service.checks import CHECKS, Check
from domains.cashback.service.violations import Violation
from wapsi.clock import now
from wapsi.db import Database, ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security.signing import Keys

log = structlog.get_logger(__name__)
_violations = metrics.get_meter(__name__).create_gauge("wapsi.ledger.violations", unit="{violation}")

# Enough to see what kind of damage it is.
LIMIT_PER_CHECK = 100
# So many rows of the table that a check walks are looked at in one statement.
WINDOW = 20_000
# The daily check looks at so much of what was checked before, so that within a month it has come by everything.
REVISITED_SEALS_SHARE = 30
_FIRST_KEYS: dict[str, Any] = {"ledger_entries": 0, "ledger_accounts": 0}
# For the transaction: a window's rows lead to others by their keys, however many the planner believes there are.
_PLANS = """SELECT set_config('enable_seqscan', :on, true), set_config('enable_hashjoin', :on, true),
    set_config('enable_mergejoin', :on, true)"""
# (what is looked at, how many rows or seals of it so far)
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found. What was posted after its start it may not have looked at."""

    started_at: datetime
    finished_at: datetime
    violations: list[Violation]


async def verify_ledger(session: ReadSession, progress: Progress | None = None) -> list[Violation]:
    """All violations of the invariants, at most LIMIT_PER_CHECK a check; empty when the books are right."""
    found: list[Violation] = []
    counts = [0] * len(CHECKS)
    for table in dict.fromkeys(check.walks for check in CHECKS):
        checks = [(number, check) for number, check in enumerate(CHECKS) if check.walks == table]
        await session.execute(text(_PLANS), {"on": "on" if table is None else "off"})
        if table is None:
            for number, check in checks:
                found += await _run(session, check, counts, number, {})
            continue
        looked_at = 0
        async for after, upto, rows in _windows(session, table):
            for number, check in checks:
                found += await _run(session, check, counts, number, {"after": after, "upto": upto})
            looked_at += rows
            if progress is not None:
                progress(table, looked_at)
    await session.execute(text(_PLANS), {"on": "on"})
    return sorted(found, key=lambda violation: int(violation.invariant[1:]))


async def _run(
    session: ReadSession, check: Check, counts: list[int], number: int, parameters: dict[str, Any]
) -> list[Violation]:
    # Only the constants of the checks are put together here.
    limited = f"SELECT * FROM ({_escaped(check.statement)}) AS broken (subject, message) LIMIT :limit"  # noqa: S608
    limit = LIMIT_PER_CHECK - counts[number]
    if limit <= 0:
        return []
    rows = (await session.execute(text(limited), {"limit": limit, **parameters})).all()
    counts[number] += len(rows)
    return [Violation(check.invariant, row.subject, row.message) for row in rows]


async def _windows(session: ReadSession, table: str) -> AsyncIterator[tuple[Any, Any, int]]:
    """(after, upto, rows) by the primary key, until there are no more."""
    after = _FIRST_KEYS.get(table, UUID(int=0))
    # The tables' names are constants.
    query = text(
        f"SELECT id, count(*) OVER () AS rows FROM (SELECT id FROM {table} WHERE id > :after ORDER BY id LIMIT :limit)"  # noqa: S608
        " AS w ORDER BY id DESC LIMIT 1"
    )
    while True:
        row = (await session.execute(query, {"after": after, "limit": WINDOW})).first()
        if row is None:
            return
        yield after, row.id, row.rows
        after = row.id


def _escaped(statement: str) -> str:
    """A colon in a literal is no parameter, but a cast is a cast, and the window's ends are parameters."""
    escaped = statement.replace("::", "\0").replace(":after", "\1").replace(":upto", "\2").replace(":", "\\:")
    return escaped.replace("\0", "::").replace("\1", ":after").replace("\2", ":upto")


async def verify_seals(
    db: Database, keys: Keys, *, after: int = 0, upto: int | None = None, progress: Progress | None = None
) -> tuple[list[Violation], int]:
    """What is wrong with the seals after the one with this number and with their entries, one seal a statement; and
    the number of the last one that was looked at."""
    found: list[Violation] = []
    async with db.read() as session:
        seal = await seals.seal_at(session, after) if after else None
    if after and seal is None:
        return [Violation(seals.TAMPERED, f"ledger_seal {after}", "it is missing: it was verified before")], after
    while upto is None or seal is None or seal.number < upto:
        async with db.read() as session:
            following, violations = await seals.check_seal(session, keys, seal)
        found += violations
        if following is None:
            break
        seal = following
        if progress is not None:
            progress("ledger_seals", seal.number)
    return found, 0 if seal is None else seal.number


async def verify_new_seals(db: Database, keys: Keys) -> list[Violation]:
    """Those since the last that was verified, and a share of the older ones, so that all are looked at within a month.

    What is found is found again the next time.
    """
    async with db.read() as session:
        row = (await session.execute(text("SELECT verified_to, revisited_to FROM ledger_checks"))).first()
    verified, revisited = (0, 0) if row is None else (row.verified_to, row.revisited_to)
    found, last = await verify_seals(db, keys, after=verified)
    start = revisited if revisited < verified else 0
    older, revisited = (
        await verify_seals(db, keys, after=start, upto=min(verified, start + verified // REVISITED_SEALS_SHARE + 1))
        if verified
        else ([], 0)
    )
    if not found and not older:
        async with db.write() as session:
            await session.execute(
                text(
                    "INSERT INTO ledger_checks (name, verified_to, revisited_to)"
                    " VALUES ('seals', :verified, :revisited)"
                    " ON CONFLICT (name) DO UPDATE SET verified_to = :verified, revisited_to = :revisited,"
                    " checked_at = now()"
                ),
                {"verified": last, "revisited": revisited},
            )
    return [*found, *older]


async def verify_everything(db: Database, keys: Keys, progress: Progress | None = None) -> list[Violation]:
    """The seals from the first to the last, and every invariant over everything."""
    found, _ = await verify_seals(db, keys, progress=progress)
    async with db.read() as session:
        return found + await verify_ledger(session, progress)


async def record(session: WriteSession, started_at: datetime, violations: Sequence[Violation]) -> None:
    session.add(
        VerificationRow(
            id=new_id(),
            started_at=started_at,
            finished_at=now(),
            violations=[asdict(violation) for violation in violations],
        )
    )
    await session.flush()


async def last_verification(session: ReadSession) -> Verification | None:
    row = await session.scalar(select(VerificationRow).order_by(VerificationRow.id.desc()).limit(1))
    if row is None:
        return None
    return Verification(row.started_at, row.finished_at, [Violation(**violation) for violation in row.violations])


def report(violations: list[Violation]) -> None:
    """An error in the log and a number in the metrics for each invariant that does not hold."""
    for invariant in sorted({check.invariant for check in CHECKS}):
        broken = [violation for violation in violations if violation.invariant == invariant]
        _violations.set(len(broken), {"invariant": invariant})
        for violation in broken:
            log.error("ledger_violation", invariant=invariant, subject=violation.subject, message=violation.message)


async def seal_entries(db: Database, keys: Keys) -> int:
    """Seals what is settled, batch by batch; returns how many seals were made."""
    settled = await seals.settled_to(db)
    made = 0
    while settled is not None:
        async with db.write() as session:
            if await seals.seal_next(session, keys, settled) is None:
                break
        made += 1
    return made
