"""REST routes of the customers domain."""

from domains.customers.router import (
    accounts,
    audit,
    factors,
    operators,
    own_sessions,
    passkeys,
    passwords,
    payout_methods,
    personal_data,
    producers,
    sessions,
    support,
)
from domains.customers.router.routers import admin_router, router

SHORT_WAYS = accounts.SHORT_WAYS

__all__ = [
    "SHORT_WAYS",
    "accounts",
    "admin_router",
    "audit",
    "factors",
    "operators",
    "own_sessions",
    "passkeys",
    "passwords",
    "payout_methods",
    "personal_data",
    "producers",
    "router",
    "sessions",
    "support",
]
