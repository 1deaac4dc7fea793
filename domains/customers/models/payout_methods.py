"""Where customers are paid."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class PayoutMethodKind(StrEnum):
    BANK_ACCOUNT = "bank_account"
    MOBILE_WALLET = "mobile_wallet"


class WalletProvider(StrEnum):
    EASYPAISA = "easypaisa"
    JAZZCASH = "jazzcash"


class PayoutMethodStatus(StrEnum):
    ACTIVE = "active"
    REMOVED = "removed"


class PayoutMethodRow(Base):
    """Where a customer is paid. The account is encrypted; `account_fingerprint` tells whether it is there already."""

    __tablename__ = "payout_methods"
    __table_args__ = (
        CheckConstraint(
            "(kind = 'bank_account' AND provider IS NULL)"
            " OR (kind = 'mobile_wallet' AND provider IS NOT NULL AND provider IN ('easypaisa', 'jazzcash'))",
            name="kind",
        ),
        CheckConstraint("status IN ('active', 'removed')", name="status"),
        Index(
            "uq_payout_methods_customer_id_account_fingerprint",
            "customer_id",
            "account_fingerprint",
            unique=True,
            postgresql_where=text("status = 'active'"),
        ),
    )

    id: Mapped[PrimaryID]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    kind: Mapped[str]
    provider: Mapped[str | None]
    label: Mapped[str]
    account_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    account_fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    masked: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[CreatedAt]
