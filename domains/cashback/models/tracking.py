"""How merchants track: what was counted, and what follows from it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import TrackingState
from wapsi.db import Base
from wapsi.db.base import CreatedAt

_STATES = ", ".join(repr(str(state)) for state in TrackingState)


class TrackingHourRow(Base):
    """Clicks of people, and sales that were reported for clicks, by the hour in which they came."""

    __tablename__ = "tracking_hours"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "hour"), Index("ix_tracking_hours_hour", "hour"))

    merchant_id: Mapped[UUID]
    hour: Mapped[datetime]
    clicks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sales: Mapped[int] = mapped_column(BigInteger, server_default="0")


class TrackingRow(Base):
    """What customers are shown of a merchant; `state` says whether as many sales come as should."""

    __tablename__ = "merchant_tracking"
    __table_args__ = (CheckConstraint(f"state IN ({_STATES})", name="state"),)

    merchant_id: Mapped[UUID] = mapped_column(primary_key=True)
    clicks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sales: Mapped[int] = mapped_column(BigInteger, server_default="0")
    lag_sample: Mapped[int] = mapped_column(BigInteger, server_default="0")
    confirmation_sample: Mapped[int] = mapped_column(BigInteger, server_default="0")
    confirmed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    declined: Mapped[int] = mapped_column(BigInteger, server_default="0")
    lag_p50_s: Mapped[int | None] = mapped_column(BigInteger)
    lag_p95_s: Mapped[int | None] = mapped_column(BigInteger)
    confirmation_p50_s: Mapped[int | None] = mapped_column(BigInteger)
    confirmation_p95_s: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(server_default="unknown")
    window_hours: Mapped[int | None]
    window_sales: Mapped[int | None] = mapped_column(BigInteger)
    expected_sales: Mapped[int | None] = mapped_column(BigInteger)
    state_since: Mapped[CreatedAt]
    computed_at: Mapped[CreatedAt]
