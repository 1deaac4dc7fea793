"""The one permission model: what can be permitted, and which operator role may do what.

Each route and each RPC names one permission (or says that it is public); one that names none does not start.
Whether the thing asked for belongs to the caller is checked in the service's query.
"""

from enum import StrEnum


class Permission(StrEnum):
    OWN_ACCOUNT = "account:own"
    # What every operator may: sign out, and look at merchants and networks.
    BACK_OFFICE = "back-office:read"
    SYNCS_READ = "syncs:read"
    SYNCS_WRITE = "syncs:write"
    SYNCS_DECIDE = "syncs:decide"
    # Where our servers fetch feeds from, and when a feed is late.
    FEEDS_MANAGE = "feeds:manage"
    MERCHANTS_READ = "merchants:read"
    MERCHANTS_WRITE = "merchants:write"
    PRODUCERS_WRITE = "producers:write"
    CONVERSIONS_REPORT = "conversions:report"
    CONVERSIONS_READ = "conversions:read"
    CONVERSIONS_DECIDE = "conversions:decide"
    CLAIMS_DECIDE = "claims:decide"
    # Which bonuses there are, and those that are held.
    BONUSES_MANAGE = "bonuses:manage"
    PAYOUTS_READ = "payouts:read"
    PAYOUTS_DECIDE = "payouts:decide"
    LEDGER_READ = "ledger:read"
    AUDIT_READ = "audit:read"
    # Finding one customer at a time, and suspending them; there is no list to browse.
    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_DECIDE = "customers:decide"
    # Who the operators are, what they may, and whether they still may.
    OPERATORS_WRITE = "operators:write"


class OperatorRole(StrEnum):
    SUPPORT = "support"
    CATALOGUE = "catalogue"
    FINANCE = "finance"
    ADMIN = "admin"


_P = Permission

# RFC 8176's words for how somebody signed in (the claim `amr`).
PASSWORD_ONLY = ("pwd",)
PASSWORD_AND_CODE = ("pwd", "otp", "mfa")
PASSWORD_AND_PASSKEY = ("pwd", "pop", "mfa")
PASSKEY = ("pop", "user", "mfa")
MULTI_FACTOR = "mfa"

CUSTOMER_PERMISSIONS = frozenset({_P.OWN_ACCOUNT})
PRODUCER_PERMISSIONS = frozenset({_P.SYNCS_READ, _P.SYNCS_WRITE, _P.MERCHANTS_READ, _P.CONVERSIONS_REPORT})
ROLE_PERMISSIONS: dict[OperatorRole, frozenset[Permission]] = {
    OperatorRole.SUPPORT: frozenset(
        {
            _P.BACK_OFFICE,
            _P.MERCHANTS_READ,
            _P.SYNCS_READ,
            _P.CONVERSIONS_READ,
            _P.CLAIMS_DECIDE,
            _P.PAYOUTS_READ,
            _P.CUSTOMERS_READ,
            _P.CUSTOMERS_DECIDE,
        }
    ),
    OperatorRole.CATALOGUE: frozenset(
        {
            _P.BACK_OFFICE,
            _P.MERCHANTS_READ,
            _P.MERCHANTS_WRITE,
            _P.SYNCS_READ,
            _P.SYNCS_WRITE,
            _P.SYNCS_DECIDE,
            _P.FEEDS_MANAGE,
        }
    ),
    OperatorRole.FINANCE: frozenset(
        {
            _P.BACK_OFFICE,
            _P.MERCHANTS_READ,
            _P.CONVERSIONS_READ,
            _P.CONVERSIONS_DECIDE,
            _P.CLAIMS_DECIDE,
            _P.BONUSES_MANAGE,
            _P.PAYOUTS_READ,
            _P.PAYOUTS_DECIDE,
            _P.LEDGER_READ,
            _P.AUDIT_READ,
            _P.CUSTOMERS_READ,
            _P.CUSTOMERS_DECIDE,
        }
    ),
    OperatorRole.ADMIN: frozenset(set(Permission) - {_P.OWN_ACCOUNT}),
}
# Of a session that began with a password alone these have BACK_OFFICE, which is enough to add a second factor.
NEED_SECOND_FACTOR = frozenset({OperatorRole.FINANCE, OperatorRole.ADMIN})
