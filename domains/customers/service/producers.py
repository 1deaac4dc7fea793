"""Producers: the programs that bring offers and report sales. Their keys are in producer_keys.py."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domains.customers.errors import MerchantUnknown, NetworkUnknown, ProducerNotFound, ProducerRevoked
from domains.customers.models import NO_KEY, ProducerKeyRow, ProducerMerchantRow, ProducerRow
from domains.customers.service import producer_keys
from domains.customers.service.producer_keys import DEFAULT_OVERLAP, NewKey
from domains.customers.service.refs import ProducerRef
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

R = TypeVar("R")


async def create_producer(
    session: WriteSession,
    name: str,
    merchant_ids: Collection[UUID],
    *,
    network_id: UUID | None = None,
    key: NewKey | None = None,
    principal: Principal | None = None,
) -> tuple[ProducerRef, str]:
    """The producer and its first key, which cannot be read again.

    Raises MerchantUnknown, NetworkUnknown, ProducerExpiryPast and ProducerScopesInvalid.
    """
    key_row, secret_key = producer_keys.new_key(new_id(), key or NewKey())
    row = ProducerRow(
        id=key_row.producer_id,
        name=name,
        key_prefix=key_row.prefix,
        key_hash=NO_KEY,
        network_id=network_id,
        created_at=now(),
    )
    session.add(row)
    await _flush(session)
    session.add(key_row)
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
            "key": producer_keys.described(key_row),
        },
    )
    return await _ref(session, row), secret_key


async def add_producer_key(
    session: WriteSession, producer_id: UUID, key: NewKey, *, principal: Principal | None = None
) -> tuple[ProducerRef, str]:
    """One more key, which cannot be read again.

    Raises ProducerNotFound, ProducerRevoked, ProducerKeyLimit, ProducerExpiryPast and ProducerScopesInvalid.
    """
    row = await _locked_good(session, producer_id)
    await producer_keys.check_room(session, producer_id)
    added, secret_key = producer_keys.new_key(producer_id, key)
    session.add(added)
    await session.flush()
    await audit.record(
        session,
        principal,
        action="producer.key_added",
        target=f"producer:{producer_id}",
        after=producer_keys.described(added),
    )
    return await _ref(session, row), secret_key


async def rotate_producer(
    session: WriteSession,
    producer_id: UUID,
    *,
    key_prefix: str | None = None,
    overlap_s: int = DEFAULT_OVERLAP,
    expires_at: datetime | None = None,
    principal: Principal | None = None,
) -> tuple[ProducerRef, str]:
    """A new key in place of another one (the newest, unless it is named), for the same scopes and certificate.

    Both are good for `overlap_s` seconds; 0 ends the one before at once. Raises ProducerNotFound, ProducerRevoked,
    ProducerKeyNotFound, ProducerKeyRevoked, ProducerKeyLimit and ProducerExpiryPast.
    """
    row = await _locked_good(session, producer_id)
    replaced = await producer_keys.find(session, producer_id, key_prefix)
    producer_keys.check_replaceable(replaced)
    before = producer_keys.described(replaced)
    producer_keys.end(replaced, overlap_s)
    await session.flush()
    await producer_keys.check_room(session, producer_id)
    added, secret_key = producer_keys.new_key(
        producer_id, NewKey(producer_keys.scopes_of(replaced), expires_at, replaced.certificate_sha256)
    )
    session.add(added)
    _end_before(row, replaced)
    await session.flush()
    await audit.record(
        session,
        principal,
        action="producer.rotated",
        target=f"producer:{producer_id}",
        before={"key": before},
        after={"key": producer_keys.described(added), "replaced": producer_keys.described(replaced)},
    )
    return await _ref(session, row), secret_key


async def revoke_producer_key(
    session: WriteSession, producer_id: UUID, key_prefix: str, *, principal: Principal | None = None
) -> ProducerRef:
    """One key is refused from now on, for good; others go on. Raises ProducerNotFound and ProducerKeyNotFound."""
    row = await _locked(session, producer_id)
    key = await producer_keys.find(session, producer_id, key_prefix)
    if key.revoked_at is None:
        before = producer_keys.described(key)
        key.revoked_at = now()
        _end_before(row, key)
        await session.flush()
        await audit.record(
            session,
            principal,
            action="producer.key_revoked",
            target=f"producer:{producer_id}",
            before=before,
            after=producer_keys.described(key),
        )
    return await _ref(session, row)


async def revoke_producer(
    session: WriteSession, producer_id: UUID, *, principal: Principal | None = None
) -> ProducerRef:
    """All its keys are refused from now on, for good. Revoking twice changes nothing. Raises ProducerNotFound."""
    row = await _locked(session, producer_id)
    if row.revoked_at is None:
        row.revoked_at = now()
        await session.flush()
        await audit.record(
            session,
            principal,
            action="producer.revoked",
            target=f"producer:{producer_id}",
            before={"revoked_at": None},
            after={"revoked_at": row.revoked_at.isoformat()},
        )
    return await _ref(session, row)


async def get_producer(session: ReadSession, producer_id: UUID) -> ProducerRef:
    """Raises ProducerNotFound."""
    row = await session.get(ProducerRow, producer_id)
    if row is None:
        raise _not_found(producer_id)
    return await _ref(session, row)


async def list_producers(session: ReadSession, *, limit: int, older_than: UUID | None = None) -> list[ProducerRef]:
    """The newest first; `older_than` is the id of the last one seen."""
    statement = select(ProducerRow).order_by(ProducerRow.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(ProducerRow.id < older_than)
    return await _refs(session, (await session.scalars(statement)).all())


def _end_before(producer: ProducerRow, key: ProducerKeyRow) -> None:
    """Processes of the release before learn of the end too."""
    if producer.key_prefix != key.prefix:
        return
    producer.expires_at = key.expires_at
    if key.revoked_at is not None:
        producer.key_hash = NO_KEY


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


async def _locked_good(session: WriteSession, producer_id: UUID) -> ProducerRow:
    row = await _locked(session, producer_id)
    if row.revoked_at is not None:
        raise ProducerRevoked("This producer is revoked. Make a new one.", producer_id=str(producer_id))
    return row


def _not_found(producer_id: UUID) -> ProducerNotFound:
    return ProducerNotFound("There is no such producer.", producer_id=str(producer_id))


async def _ref(session: ReadSession, row: ProducerRow) -> ProducerRef:
    [ref] = await _refs(session, [row])
    return ref


async def _refs(session: ReadSession, rows: Collection[ProducerRow]) -> list[ProducerRef]:
    ids = [row.id for row in rows]
    merchants = await session.scalars(select(ProducerMerchantRow).where(ProducerMerchantRow.producer_id.in_(ids)))
    keys = await session.scalars(
        select(ProducerKeyRow)
        .where(ProducerKeyRow.producer_id.in_(ids))
        .order_by(ProducerKeyRow.created_at.desc(), ProducerKeyRow.prefix)
    )
    merchant_ids = _by_producer(ids, [(link.producer_id, link.merchant_id) for link in merchants])
    key_refs = _by_producer(ids, [(key.producer_id, producer_keys.ref(key)) for key in keys])
    return [
        ProducerRef(
            id=row.id,
            name=row.name,
            merchant_ids=frozenset(merchant_ids[row.id]),
            network_id=row.network_id,
            revoked_at=row.revoked_at,
            created_at=row.created_at,
            keys=tuple(key_refs[row.id]),
        )
        for row in rows
    ]


def _by_producer(ids: Collection[UUID], pairs: Collection[tuple[UUID, R]]) -> Mapping[UUID, list[R]]:
    found: dict[UUID, list[R]] = {producer_id: [] for producer_id in ids}
    for producer_id, value in pairs:
        found[producer_id].append(value)
    return found
