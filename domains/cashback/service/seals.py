"""Seals: the ledger's entries in batches, each with its digests and a MAC that covers the seal before it.

A posting never waits for one: entries are sealed afterwards, when nobody can commit below them any more. Whoever may
write to the database but has not the application's secret cannot make a seal; what is newer than the last seal can
still be changed unseen. See docs/decisions/0010-ledger-seals.md.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog

from domains.cashback.service.violations import Violation
from wapsi.db import Database, ReadSession, WriteSession
from wapsi.security.signing import Keys

log = structlog.get_logger(__name__)

ENTRIES_A_SEAL = 5_000
TAMPERED = "I8"
_PURPOSE = "ledger seal"
# Of each row's digest so much is kept, to name the row; the seal's own hash is over the whole ones.
_KEPT = 8

# An entry with all that it means: what its posting says, and whose account it is.
_ROWS = """SELECT e.id, e.transaction_id, sha256(convert_to(jsonb_build_array(e.id, e.transaction_id, e.account_id,
        e.amount_minor, e.currency, a.path, a.currency, a.normal_side, a.customer_id, t.kind, t.source, t.external_id,
        t.description, (extract(epoch FROM t.posted_at) * 1000000)::bigint, t.trace_id, t.resolves_id, t.reverses_id,
        t.amends_id)::text, 'UTF8')) AS digest
    FROM ledger_entries e LEFT JOIN ledger_transactions t ON t.id = e.transaction_id
    LEFT JOIN ledger_accounts a ON a.id = e.account_id
    WHERE e.id > $1 AND e.id <= $2 ORDER BY e.id LIMIT $3"""
_SEAL = """SELECT number, first_entry_id, last_entry_id, entry_ids, digests, rows_hash, mac FROM ledger_seals
    WHERE number > $1 ORDER BY number LIMIT 1"""
_INSERT = """INSERT INTO ledger_seals (number, first_entry_id, last_entry_id, entry_ids, digests, rows_hash, mac)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""


@dataclass(frozen=True, slots=True)
class Seal:
    """Over the entries after that of the seal before, up to `last_entry_id`. `digests` are the beginnings of the rows'
    own, in the order of `entry_ids`."""

    number: int
    first_entry_id: int
    last_entry_id: int
    entry_ids: list[int]
    digests: bytes
    rows_hash: bytes
    mac: bytes

    def macs_after(self, keys: Keys, previous: bytes) -> list[bytes]:
        """The one to seal with, then those of earlier secrets."""
        ids = ",".join(map(str, self.entry_ids)).encode()
        parts = (
            str(self.number).encode(),
            str(self.first_entry_id).encode(),
            str(self.last_entry_id).encode(),
            hashlib.sha256(ids).digest(),
            hashlib.sha256(self.digests).digest(),
            self.rows_hash,
            previous,
        )
        # Each with its length, so that no two ways of cutting give one text.
        return keys.macs(_PURPOSE, b"".join(len(part).to_bytes(4) + part for part in parts))


@dataclass(frozen=True, slots=True)
class _Rows:
    ids: list[int]
    postings: list[UUID]
    digests: list[bytes]

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(b"".join(self.digests)).digest()

    @property
    def kept(self) -> bytes:
        return b"".join(digest[:_KEPT] for digest in self.digests)


async def _rows(driver: asyncpg.Connection, after: int, last: int, limit: int) -> _Rows:
    rows = await driver.fetch(_ROWS, after, last, limit)
    return _Rows([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


async def settled_to(db: Database) -> int | None:
    """The entry up to which all are there that ever will be; None while somebody may still commit one below it.

    An entry has its id before its transaction ends. Whoever could still bring a lower one was at work when we looked,
    and is not any more.
    """
    async with db.read() as session:
        row = await (await session.driver()).fetchrow(
            "SELECT coalesce(max(id), 0), pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM ledger_entries"
        )
    async with db.read() as session:
        oldest = await (await session.driver()).fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    assert row is not None
    return int(row[0]) if oldest >= row[1] else None


async def seal_next(session: WriteSession, keys: Keys, settled: int) -> Seal | None:
    """Seals the next entries, of those up to `settled`; None where there are none, or another is at it."""
    driver = await session.driver()
    if not await driver.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended('ledger seals', 0))"):
        return None
    last = await driver.fetchrow("SELECT number, last_entry_id, mac FROM ledger_seals ORDER BY number DESC LIMIT 1")
    number, after, previous = (0, 0, b"") if last is None else tuple(last)
    rows = await _rows(driver, after, settled, ENTRIES_A_SEAL)
    if not rows.ids:
        return None
    unsigned = Seal(number + 1, rows.ids[0], rows.ids[-1], rows.ids, rows.kept, rows.hash, b"")
    seal = Seal(
        unsigned.number,
        unsigned.first_entry_id,
        unsigned.last_entry_id,
        unsigned.entry_ids,
        unsigned.digests,
        unsigned.rows_hash,
        unsigned.macs_after(keys, previous)[0],
    )
    await driver.execute(
        _INSERT,
        seal.number,
        seal.first_entry_id,
        seal.last_entry_id,
        seal.entry_ids,
        seal.digests,
        seal.rows_hash,
        seal.mac,
    )
    # Outside the database: who removes the last seals from it cannot remove them from here.
    log.info("ledger_sealed", seal=seal.number, last_entry=seal.last_entry_id, mac=seal.mac.hex())
    return seal


async def last_seal(session: ReadSession) -> tuple[int, int, bytes]:
    """(number, last entry, MAC); zeros where nothing is sealed."""
    row = await (await session.driver()).fetchrow(
        "SELECT number, last_entry_id, mac FROM ledger_seals ORDER BY number DESC LIMIT 1"
    )
    return (0, 0, b"") if row is None else (row[0], row[1], bytes(row[2]))


async def seal_at(session: ReadSession, number: int) -> Seal | None:
    """None where there is none; for 0 too, which stands for the beginning."""
    row = await (await session.driver()).fetchrow(_SEAL, number - 1)
    return None if row is None or row[0] != number else Seal(*row)


async def check_seal(session: ReadSession, keys: Keys, previous: Seal | None) -> tuple[Seal | None, list[Violation]]:
    """The seal after `previous` (None: the first), and what is wrong with it and its rows; no seal at the end."""
    driver = await session.driver()
    number, after, mac = (
        (0, 0, b"")
        if previous is None
        else (
            previous.number,
            previous.last_entry_id,
            previous.mac,
        )
    )
    row = await driver.fetchrow(_SEAL, number)
    if row is None:
        return None, []
    seal = Seal(*row)
    found: list[Violation] = []
    if seal.number != number + 1:
        found.append(Violation(TAMPERED, f"ledger_seal {number + 1}", "it is missing: the next one is there"))
    elif seal.mac not in seal.macs_after(keys, mac):
        found.append(
            Violation(TAMPERED, f"ledger_seal {seal.number}", "it was not made by this application, or was changed")
        )
    rows = await _rows(driver, after, seal.last_entry_id, 4 * ENTRIES_A_SEAL)
    if rows.hash != seal.rows_hash or rows.ids != seal.entry_ids:
        found += _named(seal, rows)
    return seal, found


def _named(seal: Seal, rows: _Rows) -> Sequence[Violation]:
    sealed = {
        entry_id: seal.digests[position * _KEPT : (position + 1) * _KEPT]
        for position, entry_id in enumerate(seal.entry_ids)
    }
    there = {
        entry_id: (digest[:_KEPT], posting)
        for entry_id, digest, posting in zip(rows.ids, rows.digests, rows.postings, strict=True)
    }
    found = []
    for entry_id in sorted(sealed.keys() | there.keys()):
        subject = f"ledger_entry {entry_id}"
        if entry_id not in there:
            found.append(Violation(TAMPERED, subject, f"it was deleted after seal {seal.number}"))
        elif entry_id not in sealed:
            words = f"it was inserted after seal {seal.number}, in ledger_transaction {there[entry_id][1]}"
            found.append(Violation(TAMPERED, subject, words))
        elif sealed[entry_id] != there[entry_id][0]:
            words = (
                f"it, its ledger_transaction {there[entry_id][1]} or its account was changed after seal {seal.number}"
            )
            found.append(Violation(TAMPERED, subject, words))
    return found or [Violation(TAMPERED, f"ledger_seal {seal.number}", "its rows are not those that were sealed")]
