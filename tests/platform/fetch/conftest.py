"""What the tests of fetching share."""

from tests.platform.fetch.servers import serve

__all__ = ["serve"]
