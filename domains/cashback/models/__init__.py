"""Tables of the cashback domain."""

from domains.cashback.models.bonuses import BonusRow, BonusRuleRow, BonusSearchRow
from domains.cashback.models.claims import ClaimApprovalRow, ClaimMessageRow, ClaimRow
from domains.cashback.models.clicks import ClickRow
from domains.cashback.models.conversions import (
    AdjustmentRow,
    ConversionRow,
    EventRow,
    MappingRow,
    RewardRow,
)
from domains.cashback.models.doors import NetworkAdapterRow, SalesFileLineRow, SalesFilePieceRow, SalesFileRow
from domains.cashback.models.forfeitures import ForfeitureRow
from domains.cashback.models.ledger import (
    AccountRow,
    BalanceRow,
    CheckRow,
    EntryRow,
    SealRow,
    StateChangeRow,
    TransactionRow,
    VerificationRow,
)
from domains.cashback.models.mappings import ProposalRow, ReplayRow
from domains.cashback.models.payouts import PayoutApprovalRow, PayoutRow, SandboxPayoutRow
from domains.cashback.models.tracking import TrackingHourRow, TrackingRow

__all__ = [
    "AccountRow",
    "AdjustmentRow",
    "BalanceRow",
    "BonusRow",
    "BonusRuleRow",
    "BonusSearchRow",
    "CheckRow",
    "ClaimApprovalRow",
    "ClaimMessageRow",
    "ClaimRow",
    "ClickRow",
    "ConversionRow",
    "EntryRow",
    "EventRow",
    "ForfeitureRow",
    "MappingRow",
    "NetworkAdapterRow",
    "PayoutApprovalRow",
    "PayoutRow",
    "ProposalRow",
    "ReplayRow",
    "RewardRow",
    "SalesFileLineRow",
    "SalesFilePieceRow",
    "SalesFileRow",
    "SandboxPayoutRow",
    "SealRow",
    "StateChangeRow",
    "TrackingHourRow",
    "TrackingRow",
    "TransactionRow",
    "VerificationRow",
]
