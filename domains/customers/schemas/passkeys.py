"""Passkeys, as WebAuthn's JSON has them: what a browser's PublicKeyCredential.toJSON() gives goes in as it is."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from domains.customers.schemas.common import Body, Line
from domains.customers.service import PasskeyRef

_Encoded = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=8000)]
Challenge = Annotated[str, StringConstraints(max_length=2000)]


class _Attestation(BaseModel):
    """Browsers say more than we need."""

    clientDataJSON: _Encoded  # WebAuthn's names
    attestationObject: _Encoded


class _Assertion(BaseModel):
    clientDataJSON: _Encoded
    authenticatorData: _Encoded
    signature: _Encoded
    userHandle: _Encoded | None = None


class NewCredential(BaseModel):
    id: _Encoded
    rawId: _Encoded
    type: Literal["public-key"]
    response: _Attestation


class Credential(BaseModel):
    id: _Encoded
    rawId: _Encoded
    type: Literal["public-key"]
    response: _Assertion


class PasskeyOptionsOut(BaseModel):
    """`options` for navigator.credentials; `challenge` comes back with the answer, within `expires_in` seconds."""

    challenge: str
    expires_in: int
    options: dict[str, Any]


class PasskeyIn(Body):
    challenge: Challenge
    name: Line
    credential: NewCredential


class PasskeyPatch(Body):
    name: Line


class PasskeySignInIn(Body):
    challenge: Challenge
    credential: Credential


class PasskeyOut(BaseModel):
    """`backed_up`: kept by the device's maker or a password manager, and so not lost with the device."""

    id: UUID
    name: str
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, passkey: PasskeyRef) -> Self:
        return cls.model_validate(passkey, from_attributes=True)


class PasskeyMadeOut(PasskeyOut):
    """`recovery_codes` come with the first factor, and are shown this once."""

    recovery_codes: Annotated[list[str], Field(default_factory=list)]
