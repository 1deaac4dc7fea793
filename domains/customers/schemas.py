"""REST shapes of the customers domain. Passwords and tokens never appear in a representation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, EmailStr, Field, SecretStr, StringConstraints

from domains.customers.service import (
    PASSWORD_MAX_LENGTH,
    PASSWORD_MIN_LENGTH,
    CustomerStatus,
    PayoutMethodKind,
    PayoutMethodRef,
    ProducerRef,
    Profile,
    Tokens,
    WalletProvider,
)
from wapsi.security.audit import AuditEntry

# \p{Cc}: control characters, NUL among them, which the database refuses.
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\p{Cc}]+$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
NewPassword = Annotated[SecretStr, Field(min_length=PASSWORD_MIN_LENGTH, max_length=PASSWORD_MAX_LENGTH)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignUpIn(_In):
    email: EmailStr
    password: NewPassword
    display_name: Line
    locale: Locale = "en"
    referral_code: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{10}$")] | None = None


class SignUpOut(BaseModel):
    """The same whether the account is new or was there before."""

    email: str
    next: Literal["sign_in"] = "sign_in"


class SignInIn(_In):
    email: Annotated[str, StringConstraints(max_length=320, pattern=r"^[^\x00]*$")]
    password: Annotated[SecretStr, Field(max_length=PASSWORD_MAX_LENGTH)]


class RefreshIn(_In):
    refresh_token: Annotated[SecretStr, Field(max_length=200)]


class TokensOut(BaseModel):
    """Lifetimes in seconds. A refresh token is used once; use the one that comes back next time."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # RFC 6750's word
    expires_in: int
    refresh_token: str
    refresh_expires_in: int

    @classmethod
    def of(cls, tokens: Tokens) -> Self:
        return cls(
            access_token=tokens.access_token,
            expires_in=tokens.expires_in_s,
            refresh_token=tokens.refresh_token,
            refresh_expires_in=tokens.refresh_expires_in_s,
        )


class Preferences(BaseModel):
    notify_by_email: bool
    marketing: bool


class MeOut(BaseModel):
    """The own account. `referral_code` is for friends who sign up."""

    id: UUID
    email: str
    display_name: str
    currency: str
    locale: str
    status: CustomerStatus
    referral_code: str
    preferences: Preferences
    created_at: datetime

    @classmethod
    def of(cls, profile: Profile) -> Self:
        return cls.model_validate(profile, from_attributes=True)


class PreferencesPatch(_In):
    notify_by_email: bool = True
    marketing: bool = False


class MePatch(_In):
    """What is left out stays as it is."""

    display_name: Line = ""
    locale: Locale = "en"
    preferences: PreferencesPatch = PreferencesPatch()


class BankAccountIn(_In):
    kind: Literal["bank_account"]
    label: Line
    iban: Annotated[str, StringConstraints(max_length=60)]


class MobileWalletIn(_In):
    """`mobile_number`: a Pakistani one, such as +923001234567 or 0300 1234567."""

    kind: Literal["mobile_wallet"]
    label: Line
    provider: WalletProvider
    mobile_number: Annotated[str, StringConstraints(max_length=30)]


PayoutMethodIn = Annotated[BankAccountIn | MobileWalletIn, Field(discriminator="kind")]


class PayoutMethodOut(BaseModel):
    """The account itself is never shown again; `masked` holds its last four characters."""

    id: UUID
    kind: PayoutMethodKind
    provider: WalletProvider | None
    label: str
    masked: str
    created_at: datetime

    @classmethod
    def of(cls, method: PayoutMethodRef) -> Self:
        return cls.model_validate(method, from_attributes=True)


class ProducerIn(_In):
    """`network_id`: the network whose sales it reports; null for one that only brings offers."""

    name: Line
    merchant_ids: Annotated[list[UUID], Field(max_length=1000)]
    network_id: UUID | None = None
    expires_at: AwareDatetime | None = None


class ProducerOut(BaseModel):
    id: UUID
    name: str
    key_prefix: str
    merchant_ids: list[UUID]
    network_id: UUID | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, producer: ProducerRef) -> Self:
        fields = {name: getattr(producer, name) for name in ProducerOut.model_fields}
        return cls(**fields | {"merchant_ids": sorted(producer.merchant_ids)})


class ProducerWithKey(ProducerOut):
    """`key` is shown once: it is null when the same request is repeated."""

    key: str | None = None


class AuditEntryOut(BaseModel):
    """`actor` is "operator:<id>", or "system" for the command line."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    trace_id: str | None

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        return cls.model_validate(entry, from_attributes=True)
