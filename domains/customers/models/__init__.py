"""Tables of the customers domain: customers, operators, producers, and their sessions and keys."""

from domains.customers.models.accounts import CustomerRow, CustomerStatus, OperatorRow, OperatorStatus, SubjectKind
from domains.customers.models.payout_methods import (
    PayoutMethodKind,
    PayoutMethodRow,
    PayoutMethodStatus,
    WalletProvider,
)
from domains.customers.models.producers import ProducerMerchantRow, ProducerRow
from domains.customers.models.sessions import SessionRow

__all__ = [
    "CustomerRow",
    "CustomerStatus",
    "OperatorRow",
    "OperatorStatus",
    "PayoutMethodKind",
    "PayoutMethodRow",
    "PayoutMethodStatus",
    "ProducerMerchantRow",
    "ProducerRow",
    "SessionRow",
    "SubjectKind",
    "WalletProvider",
]
