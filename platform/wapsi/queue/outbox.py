"""Enqueueing: a row in the caller's transaction. There is no other way to ask for work."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from opentelemetry import propagate, trace
from sqlalchemy.dialects.postgresql import insert

from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.queue.models import JobRow

_tracer = trace.get_tracer(__name__)
DEFAULT_MAX_ATTEMPTS = 5


async def enqueue(
    session: WriteSession,
    kind: str,
    args: Mapping[str, str | int],
    *,
    queue: str = "default",
    due_at: datetime | None = None,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    dedupe_key: str | None = None,
) -> UUID | None:
    """Returns the job's id; None where `dedupe_key` has been used already. Carries the current trace along."""
    due = due_at or now()
    with _tracer.start_as_current_span(f"send {queue}", kind=trace.SpanKind.PRODUCER) as span:
        span.set_attributes(
            {
                "messaging.system": "dramatiq",
                "messaging.destination.name": queue,
                "messaging.operation.type": "send",
                "messaging.operation.name": "enqueue",
            }
        )
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        statement = (
            insert(JobRow)
            .values(
                id=new_id(),
                kind=kind,
                queue=queue,
                args=dict(args),
                max_attempts=max_attempts,
                due_at=due,
                wake_at=due,
                dedupe_key=dedupe_key,
                trace_context=carrier,
            )
            .on_conflict_do_nothing(index_elements=[JobRow.dedupe_key])
            .returning(JobRow.id)
        )
        return await session.scalar(statement)
