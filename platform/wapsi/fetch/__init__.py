"""Fetching a file by a URL that somebody else gave us."""

from wapsi.fetch.addresses import Network, is_public
from wapsi.fetch.errors import FetchError
from wapsi.fetch.fetcher import Fetched, Fetcher, FetchLimits
from wapsi.fetch.urls import HIDDEN, shown, without_query

__all__ = [
    "HIDDEN",
    "FetchError",
    "FetchLimits",
    "Fetched",
    "Fetcher",
    "Network",
    "is_public",
    "shown",
    "without_query",
]
