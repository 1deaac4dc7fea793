"""Clicks: partitioned by month, so that old ones can be dropped by the month."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import Currency


class ClickRow(Base):
    """A customer's way out to a merchant, and what was promised for it (`receipt`, signed).

    `clicked_at` is the time in `id`, so an id alone finds its partition. No foreign keys: their checks would lock
    the rows of popular merchants for every click.
    """

    __tablename__ = "clicks"
    __table_args__ = (
        PrimaryKeyConstraint("id", "clicked_at"),
        Index("ix_clicks_customer_id_clicked_at", "customer_id", "clicked_at"),
        Index("ix_clicks_merchant_id_clicked_at", "merchant_id", "clicked_at"),
        {"postgresql_partition_by": "RANGE (clicked_at)"},
    )

    id: Mapped[UUID]
    clicked_at: Mapped[datetime]
    customer_id: Mapped[UUID]
    merchant_id: Mapped[UUID]
    offer_id: Mapped[UUID | None]
    currency: Mapped[Currency]
    landing_url: Mapped[str]
    target_url: Mapped[str]
    rate_schedule_version: Mapped[int]
    receipt: Mapped[str]
    # Ours, so that the signature need not be looked at to believe the receipt; None on clicks of a release before.
    receipt_mac: Mapped[bytes | None] = mapped_column(LargeBinary)
    user_agent: Mapped[str] = mapped_column(server_default="")
    bot: Mapped[bool] = mapped_column(server_default="false")
    # The click of the same customer on the same thing, seconds before.
    duplicate_of: Mapped[UUID | None]
    redirected_at: Mapped[datetime | None]
    trace_id: Mapped[str | None]
