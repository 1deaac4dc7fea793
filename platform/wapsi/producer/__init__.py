"""For programs that bring a merchant's offers in: open a sync, push, resume, finish."""

from wapsi.producer.client import FeedChanged, Producer, ProgressReport, SyncRejected

__all__ = ["FeedChanged", "Producer", "ProgressReport", "SyncRejected"]
