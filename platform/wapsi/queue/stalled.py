"""Ends sessions whose process stands still in the middle of a COPY, with locks in its hands.

No timeout of PostgreSQL's interrupts a COPY that waits for its client (idle_in_transaction_session_timeout covers the
waiting between statements only). A worker whose machine is paused or cut off in that moment would keep its job and
what that has locked for as long, and nobody could take it over.
"""

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from wapsi.db import Database

log = structlog.get_logger(__name__)
_ended = metrics.get_meter(__name__).create_counter("wapsi.db.stalled_sessions", unit="{session}")

# Ours are of a chunk each, and take milliseconds.
STALLED_AFTER_S = 60

_END = text(
    "SELECT pid, left(query, 100) AS query, pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
    " WHERE usename = current_user AND datname = current_database()"
    " AND state = 'active' AND wait_event = 'ClientRead'"
    " AND query_start < clock_timestamp() - make_interval(secs => :stalled_after_s)"
)


async def end_stalled_sessions(db: Database) -> int:
    """Looks once, at the sessions of the application's own role; returns how many were ended."""
    async with db.write() as session:
        rows = (await session.execute(_END, {"stalled_after_s": STALLED_AFTER_S})).all()
    for row in rows:
        log.error("session_stalled", pid=row.pid, query=row.query, ended=row.ended)
    _ended.add(len(rows))
    return len(rows)
