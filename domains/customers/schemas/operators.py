"""Operators, as admins see them."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, model_validator

from domains.customers.schemas.common import Body
from domains.customers.service import OperatorRef, OperatorStatus
from wapsi.security.permissions import OperatorRole


class OperatorOut(BaseModel):
    id: UUID
    email: str
    role: OperatorRole
    status: OperatorStatus
    created_at: datetime

    @classmethod
    def of(cls, operator: OperatorRef) -> Self:
        return cls.model_validate(operator, from_attributes=True)


class OperatorPatch(Body):
    """What is left out stays as it is."""

    role: OperatorRole | None = None
    status: OperatorStatus | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.role is None and self.status is None:
            raise ValueError("Say the role or the status that it should have.")
        return self
