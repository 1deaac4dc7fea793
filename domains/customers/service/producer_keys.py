"""Keys of producers: how they are made, what they carry, when they end."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from domains.customers.errors import (
    ProducerExpiryPast,
    ProducerKeyLimit,
    ProducerKeyNotFound,
    ProducerKeyRevoked,
    ProducerScopesInvalid,
)
from domains.customers.models import ProducerKeyRow
from domains.customers.service.refs import ProducerKeyRef
from wapsi.clock import now
from wapsi.db import ReadSession
from wapsi.security.permissions import PRODUCER_PERMISSIONS, Permission

PRODUCER_KEY_PREFIX = "wpk_"
# Good at one time: what nobody needs is to be ended.
KEYS_MAX = 10
# In seconds, as callers say it.
DEFAULT_OVERLAP = 24 * 3600
LONGEST_OVERLAP = 30 * 24 * 3600
_PREFIX_BYTES = 6
_SECRET_BYTES = 32
_BY_NAME = {permission.value: permission for permission in PRODUCER_PERMISSIONS}


@dataclass(frozen=True, slots=True)
class NewKey:
    """`certificate_sha256` binds it to one client certificate on the gRPC port, and closes REST to it."""

    scopes: frozenset[Permission] = PRODUCER_PERMISSIONS
    expires_at: datetime | None = None
    certificate_sha256: bytes | None = None


def hash_producer_secret(secret: str) -> bytes:
    """A plain hash is enough: the secret is 32 random bytes, which nobody guesses from it."""
    return hashlib.sha256(secret.encode()).digest()


def new_key(producer_id: UUID, wanted: NewKey) -> tuple[ProducerKeyRow, str]:
    """The row, not added yet, and the key in full. Raises ProducerExpiryPast and ProducerScopesInvalid."""
    moment = now()
    if wanted.expires_at is not None and wanted.expires_at <= moment:
        raise ProducerExpiryPast("expires_at must lie in the future.")
    if not wanted.scopes or not wanted.scopes <= PRODUCER_PERMISSIONS:
        raise ProducerScopesInvalid(f"scopes must be one or more of: {', '.join(sorted(PRODUCER_PERMISSIONS))}.")
    prefix, secret = secrets.token_hex(_PREFIX_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    row = ProducerKeyRow(
        prefix=prefix,
        producer_id=producer_id,
        hash=hash_producer_secret(secret),
        scopes=sorted(wanted.scopes),
        certificate_sha256=wanted.certificate_sha256,
        created_at=moment,
        expires_at=wanted.expires_at,
    )
    return row, f"{PRODUCER_KEY_PREFIX}{prefix}_{secret}"


def end(key: ProducerKeyRow, overlap_s: int) -> None:
    """In `overlap_s` seconds, or when it would have ended anyway."""
    if overlap_s == 0:
        key.revoked_at = now()
        return
    until = now() + timedelta(seconds=overlap_s)
    key.expires_at = until if key.expires_at is None else min(key.expires_at, until)


def check_replaceable(key: ProducerKeyRow) -> None:
    """An expired one may be replaced, a revoked one was given up for good. Raises ProducerKeyRevoked."""
    if key.revoked_at is not None:
        raise ProducerKeyRevoked("This key is revoked. Add a new one.", key_prefix=key.prefix)


async def find(session: ReadSession, producer_id: UUID, prefix: str | None) -> ProducerKeyRow:
    """The newest one that is not revoked where none is named. Raises ProducerKeyNotFound."""
    statement = select(ProducerKeyRow).where(ProducerKeyRow.producer_id == producer_id)
    if prefix is not None:
        statement = statement.where(ProducerKeyRow.prefix == prefix)
    else:
        statement = statement.where(ProducerKeyRow.revoked_at.is_(None))
    row = await session.scalar(statement.order_by(ProducerKeyRow.created_at.desc()).limit(1))
    if row is None:
        raise ProducerKeyNotFound("The producer has no such key.", producer_id=str(producer_id))
    return row


async def check_room(session: ReadSession, producer_id: UUID) -> None:
    """With the producer's row locked. Raises ProducerKeyLimit."""
    good = await session.scalar(
        select(func.count())
        .select_from(ProducerKeyRow)
        .where(
            ProducerKeyRow.producer_id == producer_id,
            ProducerKeyRow.revoked_at.is_(None),
            or_(ProducerKeyRow.expires_at.is_(None), ProducerKeyRow.expires_at > now()),
        )
    )
    if (good or 0) >= KEYS_MAX:
        raise ProducerKeyLimit(f"{KEYS_MAX} keys of this producer are good already. Revoke one first.")


def scopes_of(key: ProducerKeyRow) -> frozenset[Permission]:
    """A permission that producers may no longer have is none."""
    return frozenset(_BY_NAME[name] for name in key.scopes if name in _BY_NAME)


def described(key: ProducerKeyRow) -> Mapping[str, Any]:
    """For the audit log."""
    certificate = key.certificate_sha256
    return {
        "key_prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "certificate_sha256": None if certificate is None else certificate.hex(),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
    }


def ref(key: ProducerKeyRow) -> ProducerKeyRef:
    return ProducerKeyRef(
        prefix=key.prefix,
        scopes=scopes_of(key),
        certificate_sha256=key.certificate_sha256,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )
