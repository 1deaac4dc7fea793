"""Signing in. Passwords and tokens appear in no other representation."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr, StringConstraints, model_validator

from domains.customers.schemas.common import Body
from domains.customers.schemas.factors import Code
from domains.customers.schemas.passkeys import Challenge, Credential
from domains.customers.service import PASSWORD_MAX_LENGTH, FactorMethod, OwnSession, SecondStep, Tokens
from wapsi.security.principal import Principal

Login = Annotated[str, StringConstraints(max_length=320, pattern=r"^[^\x00]*$")]


class OperatorSignInIn(Body):
    email: Login
    password: Annotated[SecretStr, Field(max_length=PASSWORD_MAX_LENGTH)]


class SignInIn(Body):
    """One of `email` and `phone`."""

    email: Login | None = None
    phone: Login | None = None
    password: Annotated[SecretStr, Field(max_length=PASSWORD_MAX_LENGTH)]

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.email is None) == (self.phone is None):
            raise ValueError("give one of email and phone")
        return self


class RefreshIn(Body):
    refresh_token: Annotated[SecretStr, Field(max_length=200)]


class SecondFactorIn(Body):
    """One of `code` (six digits of the authenticator app, or a recovery code) and `credential`, a passkey's answer."""

    challenge: Challenge
    code: Code | None = None
    credential: Credential | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.code is None) == (self.credential is None):
            raise ValueError("give one of code and credential")
        return self

    @property
    def proof(self) -> str | dict[str, Any]:
        if self.code is not None:
            return self.code.get_secret_value()
        assert self.credential is not None
        return self.credential.model_dump()


class SecondStepOut(BaseModel):
    """The password was right. `challenge` goes to /v1/sessions:verify with a proof by one of `methods`, best first."""

    next: Literal["second_factor"] = "second_factor"
    challenge: str
    expires_in: int
    methods: list[FactorMethod]
    passkey_options: dict[str, Any] | None = None

    @classmethod
    def of(cls, step: SecondStep) -> Self:
        return cls(
            challenge=step.challenge,
            expires_in=step.expires_in_s,
            methods=list(step.methods),
            passkey_options=None if step.passkey_options is None else dict(step.passkey_options),
        )


class SessionOut(BaseModel):
    """`device` is what it said of itself at its last refresh, and `last_used_at` is when that was."""

    id: UUID
    device: str
    created_at: datetime
    last_used_at: datetime
    current: bool

    @classmethod
    def of(cls, session: OwnSession, principal: Principal) -> Self:
        return cls(
            id=session.id,
            device=session.device,
            created_at=session.created_at,
            last_used_at=session.used_at,
            current=session.id == principal.session_id,
        )


class SessionsEndedOut(BaseModel):
    ended: int


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
