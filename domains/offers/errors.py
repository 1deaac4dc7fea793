"""What can be wrong with a request about offers or syncs."""

from wapsi.errors import DataLoss, Invalid, NotFound, OutOfRange, PermissionDenied, PreconditionFailed, TooLarge


class OfferNotFound(NotFound):
    reason = "OFFER_NOT_FOUND"


class SyncNotFound(NotFound):
    reason = "SYNC_NOT_FOUND"


class MerchantNotAllowed(PermissionDenied):
    reason = "MERCHANT_NOT_ALLOWED"


class MerchantNotSyncable(PreconditionFailed):
    """Archived merchants take no feeds."""

    reason = "MERCHANT_NOT_SYNCABLE"


class SyncRequestInvalid(Invalid):
    reason = "SYNC_REQUEST_INVALID"


class NothingToRollBack(PreconditionFailed):
    """There is no version before the merchant's present one, or what it replaced was not kept."""

    reason = "NOTHING_TO_ROLL_BACK"


class RequestIDReused(Invalid):
    reason = "REQUEST_ID_REUSED"


class SyncNotOpen(PreconditionFailed):
    reason = "SYNC_NOT_OPEN"


class OffsetMismatch(OutOfRange):
    """`committed_offset` in the metadata says where to go on."""

    reason = "OFFSET_MISMATCH"


class SyncIncomplete(DataLoss):
    reason = "SYNC_INCOMPLETE"


class ChecksumMismatch(DataLoss):
    reason = "CHECKSUM_MISMATCH"


class FilterInvalid(Invalid):
    reason = "FILTER_INVALID"


class UploadTooLarge(TooLarge):
    reason = "UPLOAD_TOO_LARGE"


class UploadEmpty(Invalid):
    reason = "UPLOAD_EMPTY"


class FeedOptionsInvalid(Invalid):
    """How the feed is to be read makes no sense; `code` says which part."""

    reason = "FEED_OPTIONS_INVALID"


class FileDiffers(Invalid):
    """As IDEMPOTENCY_KEY_REUSED anywhere else: the key stands for one request."""

    reason = "IDEMPOTENCY_KEY_REUSED"


class FeedSourceNotFound(NotFound):
    reason = "FEED_SOURCE_NOT_FOUND"


class FeedSourceInvalid(Invalid):
    """Where a feed is to be fetched from, and when, makes no sense; `code` says why a URL was refused."""

    reason = "FEED_SOURCE_INVALID"


class FeedSourceIdle(PreconditionFailed):
    """There is nothing to fetch: the source has no URL, or is switched off."""

    reason = "FEED_SOURCE_IDLE"
