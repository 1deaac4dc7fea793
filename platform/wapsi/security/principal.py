"""Who is calling, as REST and gRPC know it alike."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from wapsi.errors import PermissionDenied, Unauthenticated
from wapsi.security.permissions import Permission


class PrincipalKind(StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"
    PRODUCER = "producer"
    # A job that acts on nobody's behalf; its id is the job's.
    SYSTEM = "system"


class CredentialsMissing(Unauthenticated):
    reason = "CREDENTIALS_MISSING"


class CredentialsInvalid(Unauthenticated):
    """One answer for unknown, expired, revoked and malformed: it does not tell a guesser which."""

    reason = "CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__("The credentials are unknown, expired or revoked.")


class SecondFactorNeeded(PermissionDenied):
    """The role would permit it, but the session began with a password alone."""

    reason = "SECOND_FACTOR_NEEDED"


class PermissionMissing(PermissionDenied):
    reason = "PERMISSION_MISSING"


@dataclass(frozen=True, slots=True)
class Principal:
    """`merchant_ids` bounds a producer to its merchants; None is every merchant (operators).

    `withheld`: what the role permits and this session does not, as it began without a second factor.
    `key_prefix` names the key that a producer came with.
    """

    kind: PrincipalKind
    id: UUID
    permissions: frozenset[Permission]
    session_id: UUID | None = None
    merchant_ids: frozenset[UUID] | None = field(default=None)
    withheld: frozenset[Permission] = frozenset()
    has_second_factor: bool = False
    key_prefix: str | None = None
    # Made once: the principal of a token is remembered, and asked for its name several times a request.
    _name: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "_name", f"{self.kind}:{self.id}")

    def require(self, permission: Permission) -> None:
        """Raises SecondFactorNeeded, or PermissionMissing, naming the permission."""
        if permission in self.withheld:
            raise SecondFactorNeeded(
                "This needs a session with a second factor: add one under /v1/admin/me, then refresh or sign in again.",
                permission=permission,
            )
        if permission not in self.permissions:
            raise PermissionMissing(f"This needs the permission {permission}.", permission=permission)

    def may_use_merchant(self, merchant_id: UUID) -> bool:
        return self.merchant_ids is None or merchant_id in self.merchant_ids

    def __str__(self) -> str:
        return self._name


class Authenticator(Protocol):
    """Turns the credentials behind `Authorization: Bearer` into a principal; the customers domain provides it."""

    async def authenticate(self, bearer: str, *, certificate_sha256: bytes | None = None) -> Principal:
        """`certificate_sha256`: of the client certificate of the connection. Raises CredentialsInvalid."""

    def polling(self) -> AbstractAsyncContextManager[None]:
        """While it is open, what was revoked is looked up in the background; without it, whenever it matters."""


def bearer_of(authorization: str | None) -> str:
    """The token of an Authorization header. Raises CredentialsMissing."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise CredentialsMissing("Send an Authorization header: Bearer and your token or key.")
    return token.strip()
