"""Second factors. Secrets and codes are shown once, where they are made."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, SecretStr

from domains.customers.schemas.common import Body
from domains.customers.service import PASSWORD_MAX_LENGTH, Factors, TOTPSecret

Password = Annotated[SecretStr, Field(max_length=PASSWORD_MAX_LENGTH)]
# Six digits, or a recovery code.
Code = Annotated[SecretStr, Field(min_length=6, max_length=20)]


class ConfirmedIn(Body):
    current_password: Password


class CodeIn(Body):
    code: Code


class RemoveTOTPIn(Body):
    """`code`: of the app that is removed, or a recovery code."""

    current_password: Password
    code: Code


class FactorsOut(BaseModel):
    totp: bool
    passkeys: bool
    recovery_codes_left: int

    @classmethod
    def of(cls, factors: Factors) -> Self:
        return cls.model_validate(factors, from_attributes=True)


class TOTPOut(BaseModel):
    """`uri` for a QR code, `secret` to be typed in; it counts once a code of it was sent to :confirm."""

    secret: str
    uri: str

    @classmethod
    def of(cls, made: TOTPSecret) -> Self:
        return cls.model_validate(made, from_attributes=True)


class RecoveryCodesOut(BaseModel):
    """Each good once, and not shown again. Empty where the ones from before still hold."""

    recovery_codes: list[str]
