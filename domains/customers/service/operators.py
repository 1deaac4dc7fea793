"""Operators: the people who run the platform, what each may do, and whether they still may.

Whoever is disabled or gets another role is signed out everywhere: what a token says of its holder must stay true.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import LastAdmin, OperatorExists, OperatorIsSelf, OperatorNotFound
from domains.customers.models import OperatorRow, OperatorStatus, SubjectKind
from domains.customers.service.accounts import normalise_email
from domains.customers.service.message_texts import Template
from domains.customers.service.notices import tell
from domains.customers.service.passwords import check_new_password
from domains.customers.service.refs import OperatorRef
from domains.customers.service.sessions import end_sessions_of
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.passwords import hash_password
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole, Permission
from wapsi.security.principal import Principal
from wapsi.security.signing import Keys


async def create_operator(
    session: WriteSession,
    email: str,
    password: str,
    role: OperatorRole,
    *,
    principal: Principal | None = None,
) -> OperatorRef:
    """Raises PasswordInvalid, PasswordBreached and OperatorExists."""
    await check_new_password(password, email)
    row = await session.scalar(
        insert(OperatorRow)
        .values(
            id=new_id(),
            email=normalise_email(email),
            password_hash=await hash_password(password),
            role=OperatorRole(role),
        )
        .on_conflict_do_nothing(index_elements=[OperatorRow.email])
        .returning(OperatorRow)
    )
    if row is None:
        raise OperatorExists("There is an operator with this e-mail already.")
    await audit.record(
        session, principal, action="operator.created", target=f"operator:{row.id}", after={"role": str(role)}
    )
    return _ref(row)


async def list_operators(session: ReadSession, *, limit: int, older_than: UUID | None = None) -> list[OperatorRef]:
    """The newest first; `older_than` is the id of the last one seen."""
    statement = select(OperatorRow).order_by(OperatorRow.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(OperatorRow.id < older_than)
    return [_ref(row) for row in await session.scalars(statement)]


async def find_operator(session: ReadSession, email: str) -> OperatorRef:
    """Raises OperatorNotFound."""
    row = await session.scalar(select(OperatorRow).where(OperatorRow.email == normalise_email(email)))
    if row is None:
        raise OperatorNotFound("There is no operator with this e-mail.")
    return _ref(row)


async def change_operator(
    session: WriteSession,
    operator_id: UUID,
    *,
    role: OperatorRole | None = None,
    status: OperatorStatus | None = None,
    principal: Principal | None = None,
) -> OperatorRef:
    """What is None stays as it is. Raises OperatorNotFound, OperatorIsSelf and LastAdmin."""
    if principal is not None and principal.id == operator_id:
        raise OperatorIsSelf("Nobody changes their own role or status. Ask another admin.")
    admins = await _lock_admins(session)
    row = await session.get_locked(OperatorRow, operator_id)
    if row is None:
        raise OperatorNotFound("There is no such operator.", operator_id=str(operator_id))
    before = _for_audit(row)
    row.role = row.role if role is None else OperatorRole(role)
    row.status = row.status if status is None else OperatorStatus(status)
    if _for_audit(row) == before:
        return _ref(row)
    is_admin = row.role == OperatorRole.ADMIN and row.status == OperatorStatus.ACTIVE
    if admins == {operator_id} and not is_admin:
        raise LastAdmin("This is the last active admin. Make another one first.", operator_id=str(operator_id))
    await session.flush()
    await end_sessions_of(session, SubjectKind.OPERATOR, operator_id)
    await audit.record(
        session,
        principal,
        action="operator.changed",
        target=f"operator:{operator_id}",
        before=before,
        after=_for_audit(row),
    )
    return _ref(row)


async def reset_operator_password(
    session: WriteSession, keys: Keys, operator_id: UUID, password: str, *, principal: Principal | None = None
) -> None:
    """Ends the operator's sessions, and tells them. Raises PasswordInvalid, PasswordBreached and OperatorNotFound."""
    await check_new_password(password)
    row = await session.get_locked(OperatorRow, operator_id)
    if row is None:
        raise OperatorNotFound("There is no such operator.", operator_id=str(operator_id))
    row.password_hash = await hash_password(password)
    await session.flush()
    await end_sessions_of(session, SubjectKind.OPERATOR, operator_id)
    await tell(session, keys, SubjectKind.OPERATOR, operator_id, Template.PASSWORD_CHANGED)
    await audit.record(session, principal, action="operator.password_reset", target=f"operator:{operator_id}")


async def operators_who_may(
    session: ReadSession, permission: Permission, operator_ids: Collection[UUID]
) -> frozenset[UUID]:
    """Those of them who are active and whose role has the permission, as of now."""
    if not operator_ids:
        return frozenset()
    roles = [role for role, permissions in ROLE_PERMISSIONS.items() if permission in permissions]
    return frozenset(
        await session.scalars(
            select(OperatorRow.id).where(
                OperatorRow.id.in_(operator_ids),
                OperatorRow.status == OperatorStatus.ACTIVE,
                OperatorRow.role.in_(roles),
            )
        )
    )


async def _lock_admins(session: WriteSession) -> set[UUID]:
    """The active ones, whose rows nobody else changes meanwhile: two who demote each other take turns."""
    return set(
        await session.scalars(
            select(OperatorRow.id)
            .where(OperatorRow.role == OperatorRole.ADMIN, OperatorRow.status == OperatorStatus.ACTIVE)
            .order_by(OperatorRow.id)
            .with_for_update()
        )
    )


def _for_audit(row: OperatorRow) -> dict[str, Any]:
    return {"role": str(row.role), "status": str(row.status)}


def _ref(row: OperatorRow) -> OperatorRef:
    return OperatorRef(row.id, row.email, OperatorRole(row.role), OperatorStatus(row.status), row.created_at)
