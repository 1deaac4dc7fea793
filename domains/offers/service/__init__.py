"""What the offers domain can do. Other domains and the composition roots enter here."""

from domains.offers.models import SyncMode
from domains.offers.service.catalogue import (
    Listing,
    count_facets,
    get_offer,
    key_kinds,
    list_offers,
    price_history,
    show_offer,
)
from domains.offers.service.chunks import Chunk
from domains.offers.service.documents import search_is_current
from domains.offers.service.issues import list_issues
from domains.offers.service.listing import OfferFilter, Sort
from domains.offers.service.publish import VERSION_SQL
from domains.offers.service.rollback import start_rollback
from domains.offers.service.suggestions import suggest
from domains.offers.service.syncs import (
    MAX_BATCH_ITEMS,
    NewSync,
    PushPosition,
    Standing,
    allowed_merchant,
    approve_sync,
    cancel_sync,
    discard_sync,
    finish_sync,
    get_sync,
    list_syncs,
    next_chunk,
    open_push,
    standing_of,
    start_sync,
    store_pushed,
)
from domains.offers.service.views import OfferRef, PricePoint, SyncCounters, SyncIssueView, SyncView

__all__ = [
    "MAX_BATCH_ITEMS",
    "VERSION_SQL",
    "Chunk",
    "Listing",
    "NewSync",
    "OfferFilter",
    "OfferRef",
    "PricePoint",
    "PushPosition",
    "Sort",
    "Standing",
    "SyncCounters",
    "SyncIssueView",
    "SyncMode",
    "SyncView",
    "allowed_merchant",
    "approve_sync",
    "cancel_sync",
    "count_facets",
    "discard_sync",
    "finish_sync",
    "get_offer",
    "get_sync",
    "key_kinds",
    "list_issues",
    "list_offers",
    "list_syncs",
    "next_chunk",
    "open_push",
    "price_history",
    "search_is_current",
    "show_offer",
    "standing_of",
    "start_rollback",
    "start_sync",
    "store_pushed",
    "suggest",
]
