"""Sign-ins."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class SessionRow(Base):
    """One refresh token. A rotation uses it up and adds another of the same family: one sign-in, one family.

    `amr`: how it began, in the words of RFC 8176, with spaces between them.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('customer', 'operator')", name="subject_kind"),
        Index("ix_sessions_subject_kind_subject_id", "subject_kind", "subject_id"),
        Index("ix_sessions_revoked_at", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
    )

    id: Mapped[PrimaryID]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    family_id: Mapped[UUID] = mapped_column(index=True)
    refresh_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    user_agent: Mapped[str] = mapped_column(server_default="")
    amr: Mapped[str] = mapped_column(server_default="pwd")
