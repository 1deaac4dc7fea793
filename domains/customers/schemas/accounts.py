"""Signing up, and the own account."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, StrictBool, StringConstraints

from domains.customers.schemas.common import Body, CodeIn, ContactIn, Line, Locale, NewPassword
from domains.customers.service import CustomerStatus, Profile


class SignUpIn(ContactIn):
    password: NewPassword
    display_name: Line
    locale: Locale = "en"
    referral_code: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{10}$")] | None = None


class SignUpOut(BaseModel):
    """The same whether the contact is new or has an account already; what was sent to it says which."""

    sign_up_id: UUID
    next: Literal["verify"] = "verify"


class SignUpCodeIn(CodeIn):
    sign_up_id: UUID


class SignedUpOut(BaseModel):
    next: Literal["sign_in"] = "sign_in"


class Preferences(BaseModel):
    notify_by_email: bool
    marketing: bool


class MeOut(BaseModel):
    """The own account. `referral_code` is for friends who sign up."""

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
    preferences: Preferences
    created_at: datetime

    @classmethod
    def of(cls, profile: Profile) -> Self:
        return cls.model_validate(profile, from_attributes=True)


class PreferencesPatch(Body):
    notify_by_email: StrictBool = True
    marketing: StrictBool = False


class MePatch(Body):
    """What is left out stays as it is."""

    display_name: Line = ""
    locale: Locale = "en"
    preferences: PreferencesPatch = PreferencesPatch()
