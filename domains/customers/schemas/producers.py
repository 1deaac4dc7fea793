"""Producers and their keys."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from domains.customers.schemas.common import Body, Line
from domains.customers.service import ProducerRef


class ProducerIn(Body):
    """`network_id`: the network whose sales it reports; null for one that only brings offers."""

    name: Line
    merchant_ids: Annotated[list[UUID], Field(max_length=1000)]
    network_id: UUID | None = None
    expires_at: AwareDatetime | None = None


class ProducerOut(BaseModel):
    id: UUID
    name: str
    key_prefix: str
    merchant_ids: list[UUID]
    network_id: UUID | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, producer: ProducerRef) -> Self:
        fields = {name: getattr(producer, name) for name in ProducerOut.model_fields}
        return cls(**fields | {"merchant_ids": sorted(producer.merchant_ids)})


class ProducerWithKey(ProducerOut):
    """`key` is shown once: it is null when the same request is repeated."""

    key: str | None = None
