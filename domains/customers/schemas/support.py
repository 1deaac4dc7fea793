"""Customers, as operators see them."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, EmailStr, StringConstraints

from domains.customers.schemas.common import Body
from domains.customers.service import CustomerCard, CustomerStatus


class CustomerSearchIn(Body):
    """The whole address, as the customer says it."""

    email: EmailStr


class CustomerDecisionIn(Body):
    reason_code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,62}$")]


class CustomerCardOut(BaseModel):
    """`email` is masked."""

    id: UUID
    email: str
    display_name: str
    status: CustomerStatus
    currency: str
    locale: str
    created_at: datetime

    @classmethod
    def of(cls, card: CustomerCard) -> Self:
        return cls.model_validate(card, from_attributes=True)
