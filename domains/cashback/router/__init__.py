"""REST routes of the cashback domain."""

from domains.cashback.router import (
    admin,
    attribution,
    bonuses,
    claims,
    clicks,
    enquiries,
    favourites,
    ledger,
    me,
    postbacks,
)
from domains.cashback.router.routers import admin_router, router

__all__ = [
    "admin",
    "admin_router",
    "attribution",
    "bonuses",
    "claims",
    "clicks",
    "enquiries",
    "favourites",
    "ledger",
    "me",
    "postbacks",
    "router",
]
