"""Affiliate networks and the secrets that their postbacks are signed with (Standard Webhooks)."""

import base64
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domains.merchants.errors import NetworkExists, NetworkNotFound
from domains.merchants.models import NetworkKind, NetworkRow
from domains.merchants.service.refs import NetworkRef
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.security.reencryption import Encrypted
from wapsi.security.signing import Keys

SECRET_PREFIX = "whsec_"  # noqa: S105  # Standard Webhooks' prefix, not a secret
_SECRET_BYTES = 32
ENCRYPTED = (
    Encrypted(NetworkRow.__table__, "secret_current"),
    Encrypted(NetworkRow.__table__, "secret_previous"),
)
ROTATION_OVERLAP = timedelta(hours=24)


async def create_network(
    session: WriteSession,
    principal: Principal | None,
    keys: Keys,
    *,
    slug: str,
    name: str,
    kind: NetworkKind = NetworkKind.AGGREGATOR,
) -> tuple[NetworkRef, str]:
    """The network and its postback secret, which cannot be read again. Raises NetworkExists."""
    secret = _new_secret()
    statement = (
        insert(NetworkRow)
        .values(id=new_id(), slug=slug, name=name, kind=kind, secret_current=keys.encrypt(secret))
        .on_conflict_do_nothing(index_elements=[NetworkRow.slug])
        .returning(NetworkRow)
    )
    row = await session.scalar(statement)
    if row is None:
        raise NetworkExists(f"There is a network {slug} already.", network=slug)
    await audit.record(
        session, principal, action="network.created", target=f"network:{slug}", after={"name": name, "kind": kind}
    )
    return _ref(row), secret


async def rotate_network_secret(
    session: WriteSession, principal: Principal | None, keys: Keys, slug: str
) -> tuple[NetworkRef, str, datetime]:
    """The network, its new secret, and until when the one before is accepted too. Raises NetworkNotFound."""
    row = await session.scalar(select(NetworkRow).where(NetworkRow.slug == slug).with_for_update())
    if row is None:
        raise _not_found(slug)
    secret = _new_secret()
    moment = now()
    row.secret_previous, row.secret_previous_until = row.secret_current, moment + ROTATION_OVERLAP
    row.secret_current = keys.encrypt(secret)
    row.updated_at = moment
    await session.flush()
    await audit.record(
        session,
        principal,
        action="network.secret_rotated",
        target=f"network:{slug}",
        after={"previous_valid_until": row.secret_previous_until.isoformat()},
    )
    return _ref(row), secret, row.secret_previous_until


async def get_network(session: ReadSession, slug: str) -> NetworkRef:
    """Raises NetworkNotFound."""
    row = await session.scalar(select(NetworkRow).where(NetworkRow.slug == slug))
    if row is None:
        raise _not_found(slug)
    return _ref(row)


async def list_networks(session: ReadSession) -> list[NetworkRef]:
    """All of them by slug; there are tens, not thousands."""
    return [_ref(row) for row in await session.scalars(select(NetworkRow).order_by(NetworkRow.slug))]


async def postback_secrets(session: ReadSession, keys: Keys, network_id: UUID) -> list[bytes]:
    """The keys that a postback may be signed with: the current one and, while it overlaps, the previous one.

    Raises NetworkNotFound.
    """
    row = await session.get(NetworkRow, network_id)
    if row is None:
        raise _not_found(str(network_id))
    stored = [row.secret_current]
    if row.secret_previous is not None and row.secret_previous_until is not None and row.secret_previous_until > now():
        stored.append(row.secret_previous)
    return [base64.b64decode(keys.decrypt(secret).removeprefix(SECRET_PREFIX)) for secret in stored]


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _not_found(network: str) -> NetworkNotFound:
    return NetworkNotFound(f"There is no network {network}.", network=network)


def _ref(row: NetworkRow) -> NetworkRef:
    return NetworkRef(row.id, row.slug, row.name, NetworkKind(row.kind))
