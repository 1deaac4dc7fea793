"""What the tests of feed sources share."""

from tests.domains.offers.sources.shop import desk, loopback_is_public, server

__all__ = ["desk", "loopback_is_public", "server"]
