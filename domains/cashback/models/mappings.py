"""Status mappings that are proposed, and what applying them changes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import ProposalState, ReplayOutcome
from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, PrimaryID


def _one_of(column: str, states: type) -> CheckConstraint:
    values = ", ".join(repr(str(state)) for state in states)  # type: ignore[attr-defined]  # a StrEnum
    return CheckConstraint(f"{column} IN ({values})", name=column)


class ProposalRow(Base):
    """A mapping that somebody wants, `words` as a whole. `changed`: {word: state} of those that are to be read anew.

    `base_version` is the one it was compared with, `version` what it became. `looked_upto` is where the walk through
    the inbox has come to.
    """

    __tablename__ = "mapping_proposals"
    __table_args__ = (
        UniqueConstraint("source", "version"),
        _one_of("state", ProposalState),
        Index(
            "uq_mapping_proposals_source_under_way",
            "source",
            unique=True,
            postgresql_where=text("state = 'applying' OR (state = 'stopped' AND version IS NOT NULL)"),
        ),
    )

    id: Mapped[PrimaryID]
    source: Mapped[str]
    words: Mapped[dict[str, str]]
    note: Mapped[str]
    state: Mapped[str]
    base_version: Mapped[int]
    changed: Mapped[dict[str, str]]
    version: Mapped[int | None]
    looked_upto: Mapped[UUID | None]
    events_looked_at: Mapped[int] = mapped_column(BigInteger, server_default="0")
    error: Mapped[str] = mapped_column(server_default="")
    created_by: Mapped[str]
    applied_by: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    previewed_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    updated_at: Mapped[CreatedAt]


class ReplayRow(Base):
    """A sale whose events a proposal reads otherwise, and what becomes of it: first as a preview, then for good
    (`decided_in` 1 and 2). Amounts are those that are booked: nothing of a declined sale."""

    __tablename__ = "mapping_replays"
    __table_args__ = (PrimaryKeyConstraint("proposal_id", "external_id"), _one_of("outcome", ReplayOutcome))

    proposal_id: Mapped[UUID] = mapped_column(ForeignKey("mapping_proposals.id"))
    external_id: Mapped[str]
    event_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    conversion_id: Mapped[UUID | None]
    decided_in: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    outcome: Mapped[str | None]
    reason: Mapped[str] = mapped_column(server_default="")
    message: Mapped[str] = mapped_column(server_default="")
    state_before: Mapped[str | None]
    state_after: Mapped[str | None]
    currency: Mapped[str | None] = mapped_column(String(3))
    commission_before_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    commission_after_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    cashback_before_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    cashback_after_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    applied_at: Mapped[datetime | None]
