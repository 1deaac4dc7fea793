"""What the shapes have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from domains.customers.service import PASSWORD_MAX_LENGTH, PASSWORD_MIN_LENGTH

# No control characters, NUL among them, which the database refuses. Spelt out: \p{Cc} is not in every reader's
# regular expressions, and OpenAPI shows the pattern.
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
NewPassword = Annotated[SecretStr, Field(min_length=PASSWORD_MIN_LENGTH, max_length=PASSWORD_MAX_LENGTH)]


class Body(BaseModel):
    """What comes in: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid")
