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
