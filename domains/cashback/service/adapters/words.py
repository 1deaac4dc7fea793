"""The status words of networks, as the first version of their mappings. A word that is not here is kept and shown."""

from collections.abc import Mapping

from domains.cashback.states import ConversionState

_C = ConversionState
PAID = "paid"

DEFAULT_MAPPINGS: Mapping[str, Mapping[str, str]] = {
    "awin": {
        "pending": _C.PENDING,
        "approved": _C.APPROVED,
        "confirmed": _C.APPROVED,
        "declined": _C.DECLINED,
        "deleted": _C.DECLINED,
        PAID: _C.SETTLED,
    },
    # "locked" is past corrections, "closed" is paid with the next payment: neither means declined.
    "cj": {
        "new": _C.PENDING,
        "extended": _C.PENDING,
        "locked": _C.APPROVED,
        "closed": _C.APPROVED,
    },
    # In words, and by the numbers of its event settings. "on hold" awaits the merchant's decision.
    "admitad": {
        "new": _C.PENDING,
        "pending": _C.PENDING,
        "on_hold": _C.PENDING,
        "approved": _C.APPROVED,
        "confirmed": _C.APPROVED,
        "approved_but_stalled": _C.APPROVED,
        "declined": _C.DECLINED,
        "rejected": _C.DECLINED,
        "5": _C.PENDING,
        "6": _C.APPROVED,
        "7": _C.DECLINED,
        "8": _C.PENDING,
        PAID: _C.SETTLED,
    },
    "impact": {
        "pending": _C.PENDING,
        "approved": _C.APPROVED,
        "locked": _C.APPROVED,
        "reversed": _C.DECLINED,
        PAID: _C.SETTLED,
    },
}
