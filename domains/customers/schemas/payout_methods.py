"""Where customers are paid."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from domains.customers.schemas.common import Body, Line
from domains.customers.service import PayoutMethodKind, PayoutMethodRef, WalletProvider


class BankAccountIn(Body):
    kind: Literal["bank_account"]
    label: Line
    iban: Annotated[str, StringConstraints(max_length=60)]


class MobileWalletIn(Body):
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
