"""What this domain hands to others: frozen values, never rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domains.customers.models import CustomerStatus, OperatorStatus, PayoutMethodKind, WalletProvider
from wapsi.security.permissions import OperatorRole, Permission


@dataclass(frozen=True, slots=True)
class CustomerRef:
    """`email` is None in an account that is deleted."""

    id: UUID
    email: str | None
    display_name: str
    currency: str
    status: CustomerStatus


@dataclass(frozen=True, slots=True)
class Profile:
    """All that a customer may see of the own account."""

    id: UUID
    email: str | None
    phone: str | None
    email_verified: bool
    phone_verified: bool
    display_name: str
    currency: str
    locale: str
    status: CustomerStatus
    referral_code: str
    preferences: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OperatorRef:
    id: UUID
    email: str
    role: OperatorRole
    status: OperatorStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProducerKeyRef:
    """`certificate_sha256`: the client certificate that it is bound to; None is none."""

    prefix: str
    scopes: frozenset[Permission]
    certificate_sha256: bytes | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProducerRef:
    """`network_id` is the network whose sales it may report; None is none. The newest of its keys is the first."""

    id: UUID
    name: str
    merchant_ids: frozenset[UUID]
    network_id: UUID | None
    revoked_at: datetime | None
    created_at: datetime
    keys: tuple[ProducerKeyRef, ...]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in gives. Lifetimes in seconds."""

    access_token: str
    refresh_token: str
    expires_in_s: int
    refresh_expires_in_s: int


class FactorMethod(StrEnum):
    """By what a sign-in goes on after the password."""

    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"
    PASSKEY = "passkey"


@dataclass(frozen=True, slots=True)
class SecondStep:
    """The password was right, and one of the methods is still to be shown. Lifetime in seconds.

    `passkey_options`: what a browser needs to ask for one of the account's passkeys.
    """

    challenge: str
    expires_in_s: int
    methods: tuple[FactorMethod, ...]
    passkey_options: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PayoutMethodRef:
    """`masked` shows the account's last four characters; `provider` is None for a bank account."""

    id: UUID
    customer_id: UUID
    kind: PayoutMethodKind
    label: str
    masked: str
    provider: WalletProvider | None
    created_at: datetime
