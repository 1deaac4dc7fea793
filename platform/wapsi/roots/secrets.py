"""All that the domains keep encrypted."""

from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers.service import sources as feed_sources

ENCRYPTED = (*customers.ENCRYPTED, *merchants.ENCRYPTED, *feed_sources.ENCRYPTED)
