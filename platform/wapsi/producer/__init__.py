"""For programs that bring a merchant's offers in: open a sync, push, resume, finish. README.md says how."""

from wapsi.producer.client import FeedChanged, Producer, ProgressReport, SyncRejected, Validation
from wapsi.producer.snapshot import snapshot

__all__ = ["FeedChanged", "Producer", "ProgressReport", "SyncRejected", "Validation", "snapshot"]
