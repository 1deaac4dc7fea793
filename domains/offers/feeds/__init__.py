"""Feed files of merchants and networks, read as a stream into the items that a sync pushes.

    with open_feed(file, name="feed.csv.gz", options=FeedOptions(...)) as feed:
        for item in feed.items(): ...

A row that is bad is an item without an offer, with the reasons; it costs only itself. A file that cannot be read on
raises FeedError: what came before it stands, the rest is unknown.
"""

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.feed import Feed, open_feed
from domains.offers.feeds.mapping import parse_column_mapping
from domains.offers.feeds.options import FORMATS, FeedOptions

__all__ = ["FORMATS", "Feed", "FeedError", "FeedOptions", "open_feed", "parse_column_mapping"]
