"""REST routes of the cashback domain."""

from domains.cashback.router import (
    adapters,
    admin,
    attribution,
    bonuses,
    claims,
    clicks,
    enquiries,
    favourites,
    ledger,
    mappings,
    me,
    postbacks,
    sales_files,
)
from domains.cashback.router.routers import admin_router, router

SHORT_WAYS = (*clicks.SHORT_WAYS, *me.SHORT_WAYS)

__all__ = [
    "SHORT_WAYS",
    "adapters",
    "admin",
    "admin_router",
    "attribution",
    "bonuses",
    "claims",
    "clicks",
    "enquiries",
    "favourites",
    "ledger",
    "mappings",
    "me",
    "postbacks",
    "router",
    "sales_files",
]
