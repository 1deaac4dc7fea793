"""Customers, as operators see them."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from domains.customers.schemas.common import Body
from domains.customers.service import CustomerCard, CustomerStatus


class CustomerDecisionIn(Body):
    reason_code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,62}$")]


class CustomerCardOut(BaseModel):
    """`email` and `phone` are masked."""

    id: UUID
    email: str | None
    phone: str | None
    display_name: str
    status: CustomerStatus
    currency: str
    locale: str
    created_at: datetime

    @classmethod
    def of(cls, card: CustomerCard) -> Self:
        return cls.model_validate(card, from_attributes=True)
