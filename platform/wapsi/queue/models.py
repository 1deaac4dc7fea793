"""The jobs table: the record of work. The row that enqueues is also the outbox entry that is relayed."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class JobState(StrEnum):
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class JobRow(Base):
    """`wake_at` is when the relay must next send a wake-up, and the only thing it looks at.

    Enqueued: when the job is due. Sent: a little later, in case the message is lost. Running: when the lease ends,
    in case the worker is lost. Done or dead: null.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('ready', 'running', 'done', 'dead')", name="state"),
        Index("ix_jobs_wake_at", "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
        Index("ix_jobs_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    id: Mapped[PrimaryID]
    kind: Mapped[str]
    queue: Mapped[str]
    args: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="ready")
    attempt: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int]
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    wake_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    sends: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[datetime | None]
    dedupe_key: Mapped[str | None] = mapped_column(unique=True)
    trace_context: Mapped[dict[str, str]] = mapped_column(server_default="{}")
    last_error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
