"""Producers: the programs that bring offers and report sales, and their keys."""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domains.customers.errors import (
    MerchantUnknown,
    NetworkUnknown,
    ProducerExpiryPast,
    ProducerNotFound,
    ProducerRevoked,
)
from domains.customers.models import ProducerMerchantRow, ProducerRow
from domains.customers.service.authentication import PRODUCER_KEY_PREFIX, hash_producer_secret
from domains.customers.service.refs import ProducerRef
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

_PREFIX_BYTES = 6
_SECRET_BYTES = 32


async def create_producer(
    session: WriteSession,
    name: str,
    merchant_ids: Collection[UUID],
    *,
    network_id: UUID | None = None,
    expires_at: datetime | None = None,
    principal: Principal | None = None,
) -> tuple[ProducerRef, str]:
    """The producer and its key, which cannot be read again.

    Raises MerchantUnknown, NetworkUnknown and ProducerExpiryPast.
    """
    if expires_at is not None and expires_at <= now():
        raise ProducerExpiryPast("expires_at must lie in the future.")
    prefix, secret = _new_key()
    row = ProducerRow(
        id=new_id(),
        name=name,
        key_prefix=prefix,
        key_hash=hash_producer_secret(secret),
        network_id=network_id,
        expires_at=expires_at,
        created_at=now(),
    )
    session.add(row)
    await _flush(session)
    session.add_all(
        [ProducerMerchantRow(producer_id=row.id, merchant_id=merchant_id) for merchant_id in set(merchant_ids)]
    )
    await _flush(session)
    await audit.record(
        session,
        principal,
        action="producer.created",
        target=f"producer:{row.id}",
        after={
            "name": name,
            "merchant_ids": sorted(str(merchant_id) for merchant_id in merchant_ids),
            "network_id": None if network_id is None else str(network_id),
        },
    )
    return _ref(row, frozenset(merchant_ids)), _key(prefix, secret)


async def rotate_producer(
    session: WriteSession, producer_id: UUID, *, principal: Principal | None = None
) -> tuple[ProducerRef, str]:
    """A new key; the one before is refused from now on. Raises ProducerNotFound and ProducerRevoked."""
    row = await _locked(session, producer_id)
    if row.revoked_at is not None:
        raise ProducerRevoked("This producer is revoked. Make a new one.", producer_id=str(producer_id))
    prefix, secret = _new_key()
    before = row.key_prefix
    row.key_prefix, row.key_hash = prefix, hash_producer_secret(secret)
    await session.flush()
    await audit.record(
        session,
        principal,
        action="producer.rotated",
        target=f"producer:{producer_id}",
        before={"key_prefix": before},
        after={"key_prefix": prefix},
    )
    return _ref(row, await _merchant_ids(session, producer_id)), _key(prefix, secret)


async def revoke_producer(
    session: WriteSession, producer_id: UUID, *, principal: Principal | None = None
) -> ProducerRef:
    """Its key is refused from now on, for good. Revoking twice changes nothing. Raises ProducerNotFound."""
    row = await _locked(session, producer_id)
    if row.revoked_at is None:
        row.revoked_at = now()
        await session.flush()
        await audit.record(session, principal, action="producer.revoked", target=f"producer:{producer_id}")
    return _ref(row, await _merchant_ids(session, producer_id))


async def get_producer(session: ReadSession, producer_id: UUID) -> ProducerRef:
    """Raises ProducerNotFound."""
    row = await session.get(ProducerRow, producer_id)
    if row is None:
        raise _not_found(producer_id)
    return _ref(row, await _merchant_ids(session, producer_id))


async def list_producers(session: ReadSession, *, limit: int, older_than: UUID | None = None) -> list[ProducerRef]:
    """The newest first; `older_than` is the id of the last one seen."""
    statement = select(ProducerRow).order_by(ProducerRow.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(ProducerRow.id < older_than)
    rows = (await session.scalars(statement)).all()
    merchant_ids: Mapping[UUID, set[UUID]] = {row.id: set() for row in rows}
    links = await session.scalars(select(ProducerMerchantRow).where(ProducerMerchantRow.producer_id.in_(merchant_ids)))
    for link in links:
        merchant_ids[link.producer_id].add(link.merchant_id)
    return [_ref(row, frozenset(merchant_ids[row.id])) for row in rows]


def _new_key() -> tuple[str, str]:
    return secrets.token_hex(_PREFIX_BYTES), secrets.token_urlsafe(_SECRET_BYTES)


def _key(prefix: str, secret: str) -> str:
    return f"{PRODUCER_KEY_PREFIX}{prefix}_{secret}"


async def _flush(session: WriteSession) -> None:
    """The foreign keys tell what does not exist: merchants and networks are another domain's."""
    try:
        await session.flush()
    except IntegrityError as error:
        text = str(error.orig)
        if "fk_producer_merchants_merchant_id_merchants" in text:
            raise MerchantUnknown("One of merchant_ids is not a merchant.") from None
        if "fk_producers_network_id_affiliate_networks" in text:
            raise NetworkUnknown("network_id is not a network.") from None
        raise


async def _locked(session: WriteSession, producer_id: UUID) -> ProducerRow:
    row = await session.get_locked(ProducerRow, producer_id)
    if row is None:
        raise _not_found(producer_id)
    return row


async def _merchant_ids(session: ReadSession, producer_id: UUID) -> frozenset[UUID]:
    return frozenset(
        await session.scalars(
            select(ProducerMerchantRow.merchant_id).where(ProducerMerchantRow.producer_id == producer_id)
        )
    )


def _not_found(producer_id: UUID) -> ProducerNotFound:
    return ProducerNotFound("There is no such producer.", producer_id=str(producer_id))


def _ref(row: ProducerRow, merchant_ids: frozenset[UUID]) -> ProducerRef:
    return ProducerRef(
        id=row.id,
        name=row.name,
        key_prefix=row.key_prefix,
        merchant_ids=merchant_ids,
        network_id=row.network_id,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        created_at=row.created_at,
    )
