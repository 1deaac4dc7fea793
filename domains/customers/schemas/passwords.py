"""New passwords and contacts."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr

from domains.customers.schemas.common import Body, CodeIn, ContactIn, NewPassword
from domains.customers.service import PASSWORD_MAX_LENGTH

CurrentPassword = Annotated[SecretStr, Field(max_length=PASSWORD_MAX_LENGTH)]


class ResetIn(ContactIn):
    """A contact of the account whose password was forgotten."""


class ResetOut(BaseModel):
    """The same whether or not the contact has an account."""

    reset_id: UUID
    next: Literal["confirm"] = "confirm"


class ResetCodeIn(CodeIn):
    new_password: NewPassword


class PasswordIn(Body):
    current_password: CurrentPassword
    new_password: NewPassword


class NewContactIn(ContactIn):
    current_password: CurrentPassword


class NewContactOut(BaseModel):
    contact_id: UUID
    next: Literal["verify"] = "verify"


class ContactCodeIn(CodeIn):
    contact_id: UUID
