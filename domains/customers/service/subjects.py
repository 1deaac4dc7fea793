"""Who can sign in: customers and operators, as signing in sees them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select

from domains.customers.errors import PasswordWrong
from domains.customers.models import CustomerRow, CustomerStatus, OperatorRow, OperatorStatus, SubjectKind
from domains.customers.service.accounts import normalise_email
from wapsi.db import Database, ReadSession, WriteSession
from wapsi.security.passwords import verify_password


@dataclass(frozen=True, slots=True)
class Account:
    """`role` is an operator's; `label` is what people know the account by."""

    kind: SubjectKind
    id: UUID
    active: bool
    password_hash: str
    role: str | None
    label: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


async def find_account(session: ReadSession, kind: SubjectKind, login: str) -> Account | None:
    """`login` is an e-mail, or a customer's mobile number in E.164, which has no @."""
    if kind is SubjectKind.OPERATOR:
        return _account(await session.scalar(select(OperatorRow).where(OperatorRow.email == normalise_email(login))))
    matches = CustomerRow.email == normalise_email(login) if "@" in login else CustomerRow.phone == login
    return _account(await session.scalar(select(CustomerRow).where(matches)))


async def get_account(session: ReadSession, kind: SubjectKind, subject_id: UUID) -> Account | None:
    return _account(await session.scalar(_by_id(kind, subject_id)))


async def hold_account(session: WriteSession, kind: SubjectKind, subject_id: UUID) -> Account | None:
    """Until the transaction ends, neither its password nor its status changes.

    Whoever changes them changes the row first and ends the sessions then: so a session is either not made any more, or
    it is seen and ended.
    """
    return _account(await session.scalar(_by_id(kind, subject_id).with_for_update(read=True)))


async def confirm_password(db: Database, kind: SubjectKind, subject_id: UUID, password: str) -> None:
    """Before what a stolen session must not be able to do. Raises PasswordWrong.

    Holds no connection during the slow check.
    """
    async with db.read() as session:
        account = await get_account(session, kind, subject_id)
    if not await verify_password(password, account.password_hash if account is not None else None):
        raise PasswordWrong("The password is not the one of this account.")


def _by_id(kind: SubjectKind, subject_id: UUID) -> Select[CustomerRow] | Select[OperatorRow]:
    if kind is SubjectKind.CUSTOMER:
        return select(CustomerRow).where(CustomerRow.id == subject_id)
    return select(OperatorRow).where(OperatorRow.id == subject_id)


def _account(row: CustomerRow | OperatorRow | None) -> Account | None:
    if row is None:
        return None
    if isinstance(row, OperatorRow):
        active = row.status == OperatorStatus.ACTIVE
        return Account(SubjectKind.OPERATOR, row.id, active, row.password_hash, row.role, row.email)
    active = row.status == CustomerStatus.ACTIVE
    return Account(SubjectKind.CUSTOMER, row.id, active, row.password_hash, None, row.email or row.phone or "")
