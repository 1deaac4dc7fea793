"""What people prove beside, or instead of, their password."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID

_SUBJECT_KINDS = "subject_kind IN ('customer', 'operator')"


class TOTPRow(Base):
    """An authenticator app. `last_step`: the time step of the last code that was taken, so that none counts twice."""

    __tablename__ = "totp_factors"
    __table_args__ = (
        PrimaryKeyConstraint("subject_kind", "subject_id"),
        CheckConstraint(_SUBJECT_KINDS, name="subject_kind"),
    )

    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    secret_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(BigInteger)


class RecoveryCodeRow(Base):
    """For the day the other factors are lost. Of the code only a keyed hash is kept."""

    __tablename__ = "recovery_codes"
    __table_args__ = (
        PrimaryKeyConstraint("subject_kind", "subject_id", "code_hash"),
        CheckConstraint(_SUBJECT_KINDS, name="subject_kind"),
    )

    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    code_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    used_at: Mapped[datetime | None]


class PasskeyRow(Base):
    """A WebAuthn credential: we hold its public key, and what its counter said last."""

    __tablename__ = "passkeys"
    __table_args__ = (
        CheckConstraint(_SUBJECT_KINDS, name="subject_kind"),
        Index("ix_passkeys_subject_kind_subject_id", "subject_kind", "subject_id"),
    )

    id: Mapped[PrimaryID]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    backed_up: Mapped[bool]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]


class ChallengeRow(Base):
    """A challenge that was answered at least once. Those that nobody answers leave no row."""

    __tablename__ = "challenges"

    id: Mapped[PrimaryID]
    attempts: Mapped[int]
    spent_at: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)
