"""What the shapes have in common."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, EmailStr, Field, SecretStr, StringConstraints, model_validator

from domains.customers.service import PASSWORD_MAX_LENGTH, PASSWORD_MIN_LENGTH

# No control characters, NUL among them, which the database refuses. Spelt out: \p{Cc} is not in every reader's
# regular expressions, and OpenAPI shows the pattern.
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
NewPassword = Annotated[SecretStr, Field(min_length=PASSWORD_MIN_LENGTH, max_length=PASSWORD_MAX_LENGTH)]

Code = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9]{8}$")]


class Body(BaseModel):
    """What comes in: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class ContactIn(Body):
    """One of the two: an e-mail address, or a Pakistani mobile number."""

    email: EmailStr | None = None
    phone: Annotated[str, StringConstraints(max_length=20, pattern=r"^[^\p{Cc}]+$")] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.email is None) == (self.phone is None):
            raise ValueError("give one of email and phone")
        return self


class CodeIn(Body):
    """The eight digits out of the message."""

    code: Code
