"""The doors that sales come through: how each network's messages are read, and files of sales."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import EventOutcome, FileState
from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class NetworkAdapterRow(Base):
    """How a network's messages are read; one without a row sends them in our own shape.

    `token_hash` is the SHA-256 of the last part of the address for networks that sign nothing, None where there is no
    such address; the one before counts until `token_previous_until`. `version` grows with each change of the reading.
    """

    __tablename__ = "network_adapters"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
        CheckConstraint("octet_length(token_previous_hash) = 32", name="token_previous_hash"),
        CheckConstraint("(token_previous_hash IS NULL) = (token_previous_until IS NULL)", name="token_previous"),
    )

    network_id: Mapped[UUID] = mapped_column(ForeignKey("affiliate_networks.id"), primary_key=True)
    kind: Mapped[str]
    settings: Mapped[dict[str, Any]]
    version: Mapped[int]
    allowed_addresses: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    token_previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    token_previous_until: Mapped[datetime | None]
    updated_by: Mapped[str]
    updated_at: Mapped[CreatedAt]


class SalesFileRow(Base):
    """A file of sales on its way in. `rows` are those that have been handed in; the rest is counts of what became of
    them, those that came before (`repeated`) by what became of them then."""

    __tablename__ = "sales_files"
    __table_args__ = (
        UniqueConstraint("network_id", "request_id"),
        CheckConstraint("format IN ('csv', 'jsonl')", name="format"),
        CheckConstraint("state IN (" + ", ".join(repr(str(state)) for state in FileState) + ")", name="state"),
        CheckConstraint("octet_length(sha256) = 32", name="sha256"),
    )

    id: Mapped[PrimaryID]
    network_id: Mapped[UUID] = mapped_column(ForeignKey("affiliate_networks.id"))
    request_id: Mapped[str]
    name: Mapped[str]
    format: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    rows: Mapped[int] = mapped_column(server_default="0")
    applied: Mapped[int] = mapped_column(server_default="0")
    ignored: Mapped[int] = mapped_column(server_default="0")
    unknown_status: Mapped[int] = mapped_column(server_default="0")
    refused: Mapped[int] = mapped_column(server_default="0")
    repeated: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str] = mapped_column(server_default="")
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class SalesFilePieceRow(Base):
    """A file's bytes until all of its rows have been handed in; what was in them is in the inbox then."""

    __tablename__ = "sales_file_pieces"
    __table_args__ = (PrimaryKeyConstraint("file_id", "position"),)

    file_id: Mapped[UUID] = mapped_column(ForeignKey("sales_files.id"))
    position: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class SalesFileLineRow(Base):
    """What became of a row; `line` is its first, from 1. `event_id` is that of the inbox."""

    __tablename__ = "sales_file_lines"
    __table_args__ = (
        PrimaryKeyConstraint("file_id", "line"),
        CheckConstraint("outcome IN (" + ", ".join(repr(str(one)) for one in EventOutcome) + ")", name="outcome"),
    )

    file_id: Mapped[UUID] = mapped_column(ForeignKey("sales_files.id"))
    line: Mapped[int]
    sale: Mapped[str]
    event_id: Mapped[UUID]
    outcome: Mapped[str]
    reason: Mapped[str]
    message: Mapped[str]
    repeated: Mapped[bool]
