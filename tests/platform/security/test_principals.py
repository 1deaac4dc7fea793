"""Who may do what: one model for REST and gRPC."""

from uuid import UUID

import pytest

from wapsi.security.permissions import (
    CUSTOMER_PERMISSIONS,
    PRODUCER_PERMISSIONS,
    ROLE_PERMISSIONS,
    OperatorRole,
    Permission,
)
from wapsi.security.principal import (
    CredentialsInvalid,
    CredentialsMissing,
    PermissionMissing,
    Principal,
    PrincipalKind,
    bearer_of,
)

MERCHANT = UUID(int=7)


def principal(*permissions: Permission, merchant_ids: frozenset[UUID] | None = None) -> Principal:
    return Principal(PrincipalKind.PRODUCER, UUID(int=1), frozenset(permissions), merchant_ids=merchant_ids)


@pytest.mark.parametrize(("header", "token"), [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("BEARER a.b", "a.b")])
def test_a_bearer_is_read_from_its_header(header: str, token: str) -> None:
    assert bearer_of(header) == token


@pytest.mark.parametrize("header", [None, "", " ", "Bearer", "Bearer ", "Basic abc", "abc", "Bearerabc"])
def test_a_header_without_a_bearer_is_missing_credentials(header: str | None) -> None:
    with pytest.raises(CredentialsMissing):
        bearer_of(header)


def test_a_missing_permission_is_named() -> None:
    principal(Permission.SYNCS_READ).require(Permission.SYNCS_READ)
    with pytest.raises(PermissionMissing, match="syncs:write") as refused:
        principal(Permission.SYNCS_READ).require(Permission.SYNCS_WRITE)
    assert refused.value.metadata == {"permission": "syncs:write"}


def test_a_producer_is_bound_to_its_merchants_and_an_operator_is_not() -> None:
    assert principal(merchant_ids=frozenset({MERCHANT})).may_use_merchant(MERCHANT)
    assert not principal(merchant_ids=frozenset()).may_use_merchant(MERCHANT)
    assert not principal(merchant_ids=frozenset({UUID(int=8)})).may_use_merchant(MERCHANT)
    assert principal(merchant_ids=None).may_use_merchant(MERCHANT)


def test_bad_credentials_are_one_answer_whatever_is_wrong_with_them() -> None:
    assert CredentialsInvalid().message == "The credentials are unknown, expired or revoked."
    assert CredentialsInvalid().metadata == {}


def test_customers_and_producers_can_do_nothing_of_the_operators() -> None:
    assert {Permission.OWN_ACCOUNT} == CUSTOMER_PERMISSIONS
    decisions = {permission for permission in Permission if permission.endswith(":decide")}
    assert not decisions & PRODUCER_PERMISSIONS
    money = {Permission.LEDGER_READ, Permission.PAYOUTS_READ, Permission.AUDIT_READ, Permission.PRODUCERS_WRITE}
    assert not money & PRODUCER_PERMISSIONS


def test_every_role_has_its_permissions_and_none_acts_as_a_customer() -> None:
    assert ROLE_PERMISSIONS.keys() == set(OperatorRole)
    for role, permissions in ROLE_PERMISSIONS.items():
        assert permissions, role
        assert Permission.OWN_ACCOUNT not in permissions, role


def test_only_finance_and_admins_move_money_and_only_admins_make_producers() -> None:
    may_pay = {role for role, permissions in ROLE_PERMISSIONS.items() if Permission.PAYOUTS_DECIDE in permissions}
    assert may_pay == {OperatorRole.FINANCE, OperatorRole.ADMIN}
    may_make = {role for role, permissions in ROLE_PERMISSIONS.items() if Permission.PRODUCERS_WRITE in permissions}
    assert may_make == {OperatorRole.ADMIN}
