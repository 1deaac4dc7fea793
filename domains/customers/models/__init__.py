"""Tables of the customers domain: customers, operators, producers, and their sessions and keys."""

from domains.customers.models.accounts import CustomerRow, CustomerStatus, OperatorRow, OperatorStatus, SubjectKind
from domains.customers.models.factors import ChallengeRow, PasskeyRow, RecoveryCodeRow, TOTPRow
from domains.customers.models.favourites import FavouriteKind, FavouriteRow
from domains.customers.models.messages import MessageRow, MessageState
from domains.customers.models.payout_methods import (
    PayoutMethodKind,
    PayoutMethodRow,
    PayoutMethodStatus,
    WalletProvider,
)
from domains.customers.models.producers import NO_KEY, ProducerKeyRow, ProducerMerchantRow, ProducerRow
from domains.customers.models.sessions import SessionRow
from domains.customers.models.verifications import SignUpRow, VerificationPurpose, VerificationRow

__all__ = [
    "NO_KEY",
    "ChallengeRow",
    "CustomerRow",
    "CustomerStatus",
    "FavouriteKind",
    "FavouriteRow",
    "MessageRow",
    "MessageState",
    "OperatorRow",
    "OperatorStatus",
    "PasskeyRow",
    "PayoutMethodKind",
    "PayoutMethodRow",
    "PayoutMethodStatus",
    "ProducerKeyRow",
    "ProducerMerchantRow",
    "ProducerRow",
    "RecoveryCodeRow",
    "SessionRow",
    "SignUpRow",
    "SubjectKind",
    "TOTPRow",
    "VerificationPurpose",
    "VerificationRow",
    "WalletProvider",
]
