"""Producers and their keys."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from domains.customers.schemas.common import Body, Line
from domains.customers.service import DEFAULT_OVERLAP, LONGEST_OVERLAP, NewKey, ProducerKeyRef, ProducerRef
from wapsi.security.permissions import PRODUCER_PERMISSIONS, Permission

# As openssl prints it, with colons, or without.
Fingerprint = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$", max_length=95)]
Scopes = Annotated[list[Permission], Field(min_length=1, max_length=len(PRODUCER_PERMISSIONS))]


class ProducerKeyIn(Body):
    """`scopes`: what the key may do; null for all that a producer may.

    `certificate_sha256`: the only client certificate that the key is good with, on a gRPC port that asks for one.
    """

    scopes: Scopes | None = None
    expires_at: AwareDatetime | None = None
    certificate_sha256: Fingerprint | None = None

    def key(self) -> NewKey:
        fingerprint = self.certificate_sha256
        return NewKey(
            scopes=PRODUCER_PERMISSIONS if self.scopes is None else frozenset(self.scopes),
            expires_at=self.expires_at,
            certificate_sha256=None if fingerprint is None else bytes.fromhex(fingerprint.replace(":", "")),
        )


class ProducerIn(ProducerKeyIn):
    """`network_id`: the network whose sales it reports; null for one that only brings offers."""

    name: Line
    merchant_ids: Annotated[list[UUID], Field(max_length=1000)]
    network_id: UUID | None = None


class ProducerRotateIn(Body):
    """`key_prefix`: the key that is replaced; null for the newest. `overlap_s`: how long it stays good; 0: not at all.

    `expires_at`: of the new key.
    """

    key_prefix: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] | None = None
    overlap_s: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP)] = DEFAULT_OVERLAP
    expires_at: AwareDatetime | None = None


class ProducerKeyOut(BaseModel):
    prefix: str
    scopes: list[Permission]
    certificate_sha256: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: ProducerKeyRef) -> Self:
        fields = {name: getattr(key, name) for name in cls.model_fields}
        certificate = key.certificate_sha256
        return cls(
            **fields
            | {"scopes": sorted(key.scopes), "certificate_sha256": None if certificate is None else certificate.hex()}
        )


class ProducerOut(BaseModel):
    """`keys`: the newest first, those that have ended too."""

    id: UUID
    name: str
    merchant_ids: list[UUID]
    network_id: UUID | None
    revoked_at: datetime | None
    created_at: datetime
    keys: list[ProducerKeyOut]

    @classmethod
    def of(cls, producer: ProducerRef) -> Self:
        fields = {name: getattr(producer, name) for name in ProducerOut.model_fields}
        keys = [ProducerKeyOut.of(key) for key in producer.keys]
        return cls(**fields | {"merchant_ids": sorted(producer.merchant_ids), "keys": keys})


class ProducerWithKey(ProducerOut):
    """`key` is shown once: it is null when the same request is repeated."""

    key: str | None = None
