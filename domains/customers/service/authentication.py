"""From the credentials behind `Authorization: Bearer` to a principal."""

import hmac
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from domains.customers.models import ProducerKeyRow, ProducerMerchantRow, ProducerRow, SubjectKind
from domains.customers.service.producer_keys import PRODUCER_KEY_PREFIX, hash_producer_secret, scopes_of
from domains.customers.service.revocations import SESSION_ENDED, Revocations
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.errors import Unavailable
from wapsi.security.permissions import (
    CUSTOMER_PERMISSIONS,
    MULTI_FACTOR,
    NEED_SECOND_FACTOR,
    PASSWORD_ONLY,
    ROLE_PERMISSIONS,
    OperatorRole,
    Permission,
)
from wapsi.security.principal import CredentialsInvalid, Principal, PrincipalKind
from wapsi.security.signing import Keys, SignatureInvalid

log = structlog.get_logger(__name__)

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105  # RFC 9068's name
AUDIENCE = "wapsi"
# About a kilobyte each.
REMEMBERED_TOKENS = 10_000
LAST_USED_EVERY = timedelta(minutes=1)
_NO_HASH = bytes(32)


class Authentication:
    """Access tokens of customers and operators, verified without asking the database, and producers' keys.

    A token is good until it expires (`WAPSI_ACCESS_TOKEN_TTL_S`) or its session ends: see Revocations. A
    producer's key is looked up at each call, so that one revoked is refused at once.

    A token that was verified is remembered while it is good: verifying it takes longer than many a request.
    """

    def __init__(self, db: Database, keys: Keys, settings: Settings) -> None:
        self._db = db
        self._keys = keys
        self._issuer = settings.public_url
        self._revocations = Revocations(db.reads, settings.access_token_ttl_s)
        db.hear(SESSION_ENDED, self._revocations.note)
        self._verified: dict[str, tuple[Principal, float]] = {}

    async def authenticate(self, bearer: str, *, certificate_sha256: bytes | None = None) -> Principal:
        """Raises CredentialsInvalid."""
        if bearer.startswith(PRODUCER_KEY_PREFIX):
            return await self._producer(bearer, certificate_sha256)
        principal = self._of_token(bearer)
        if principal.session_id is not None and await self._revocations.is_ended(principal.session_id):
            raise CredentialsInvalid
        return principal

    def polling(self) -> AbstractAsyncContextManager[None]:
        """While it is open, ended sessions are looked up in the background."""
        return self._revocations.polling()

    def _of_token(self, bearer: str) -> Principal:
        known = self._verified.get(bearer)
        if known is not None and time.time() < known[1]:
            return known[0]
        try:
            claims = self._keys.verify(ACCESS_TOKEN_TYPE, bearer, audience=AUDIENCE, issuer=self._issuer)
            principal, expires_s = _principal_of(claims), float(claims["exp"])
        except (SignatureInvalid, KeyError, ValueError, TypeError, AttributeError):
            raise CredentialsInvalid from None
        self._remember(bearer, principal, expires_s)
        return principal

    def _remember(self, bearer: str, principal: Principal, expires_s: float) -> None:
        # In the order in which they were verified, which is about that in which they expire.
        while len(self._verified) >= REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]
        self._verified[bearer] = principal, expires_s

    async def _producer(self, key: str, certificate_sha256: bytes | None) -> Principal:
        prefix, _, secret = key.removeprefix(PRODUCER_KEY_PREFIX).partition("_")
        if not (prefix.isalnum() and prefix.isascii()):
            raise CredentialsInvalid
        merchants = (
            select(func.array_agg(ProducerMerchantRow.merchant_id))
            .where(ProducerMerchantRow.producer_id == ProducerKeyRow.producer_id)
            .scalar_subquery()
        )
        # The primary: a key that was revoked a moment ago must not pass because a replica is behind.
        async with self._db.write() as session:
            found = await session.execute(
                select(ProducerKeyRow, ProducerRow.revoked_at, merchants.label("merchant_ids"))
                .join(ProducerRow, ProducerRow.id == ProducerKeyRow.producer_id)
                .where(ProducerKeyRow.prefix == prefix)
            )
            row = found.one_or_none()
        known: ProducerKeyRow | None = None if row is None else row.ProducerKeyRow
        # Compared even where there is none, so that the time does not tell.
        matches = hmac.compare_digest(hash_producer_secret(secret), known.hash if known else _NO_HASH)
        if row is None or known is None or not matches:
            raise CredentialsInvalid
        if row.revoked_at is not None or known.revoked_at is not None:
            raise CredentialsInvalid
        if known.expires_at is not None and known.expires_at <= now():
            raise CredentialsInvalid
        if known.certificate_sha256 not in (None, certificate_sha256):
            raise CredentialsInvalid
        if known.last_used_at is None or known.last_used_at < now() - LAST_USED_EVERY:
            await self._note_use(prefix)
        return Principal(
            PrincipalKind.PRODUCER,
            known.producer_id,
            scopes_of(known),
            merchant_ids=frozenset(row.merchant_ids or ()),
            key_prefix=prefix,
        )

    async def _note_use(self, prefix: str) -> None:
        """Of many calls at once one writes, the others pass it by. When it fails, the call it belongs to goes on."""
        stale = (
            select(ProducerKeyRow.prefix)
            .where(
                ProducerKeyRow.prefix == prefix,
                or_(ProducerKeyRow.last_used_at.is_(None), ProducerKeyRow.last_used_at < now() - LAST_USED_EVERY),
            )
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        noted = update(ProducerKeyRow).where(ProducerKeyRow.prefix == stale).values(last_used_at=now())
        try:
            async with self._db.write() as session:
                await session.execute(noted)
        except (Unavailable, SQLAlchemyError) as error:
            log.warning("producer_use_not_noted", key_prefix=prefix, cause=repr(error))


def _principal_of(claims: Mapping[str, Any]) -> Principal:
    kind = SubjectKind(claims["kind"])
    has_second_factor = MULTI_FACTOR in list(claims.get("amr", PASSWORD_ONLY))
    permissions, withheld = CUSTOMER_PERMISSIONS, frozenset[Permission]()
    if kind is SubjectKind.OPERATOR:
        role = OperatorRole(claims["role"])
        permissions = ROLE_PERMISSIONS[role]
        if role in NEED_SECOND_FACTOR and not has_second_factor:
            permissions, withheld = frozenset({Permission.BACK_OFFICE}), permissions - {Permission.BACK_OFFICE}
    return Principal(
        PrincipalKind(kind),
        UUID(claims["sub"]),
        permissions,
        session_id=UUID(claims["sid"]),
        withheld=withheld,
        has_second_factor=has_second_factor,
    )
