"""The states of everything that money depends on, and the moves between them."""

from enum import StrEnum

from wapsi.state import StateMachine


class ConversionState(StrEnum):
    """UNATTRIBUTED: a sale that no click explains. SETTLED: the network has paid us; nothing changes after that."""

    UNATTRIBUTED = "unattributed"
    PENDING = "pending"
    APPROVED = "approved"
    SETTLED = "settled"
    DECLINED = "declined"


_C = ConversionState
CONVERSION_STATES = StateMachine(
    "conversion",
    {
        _C.UNATTRIBUTED: [_C.PENDING, _C.DECLINED],
        _C.PENDING: [_C.APPROVED, _C.DECLINED],
        _C.APPROVED: [_C.SETTLED, _C.DECLINED],
    },
)


class RewardState(StrEnum):
    """CONFIRMED can be withdrawn. HELD waits for a fraud check. REVERSED was confirmed and had to be taken back."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    HELD = "held"
    REVERSED = "reversed"


_R = RewardState
REWARD_STATES = StateMachine(
    "reward",
    {
        _R.PENDING: [_R.CONFIRMED, _R.DECLINED, _R.HELD],
        _R.HELD: [_R.PENDING, _R.CONFIRMED, _R.DECLINED, _R.REVERSED],
        _R.CONFIRMED: [_R.HELD, _R.REVERSED],
    },
)


class BonusKind(StrEnum):
    """Who gets it when somebody new has earned a first cashback: SIGN_UP and REFERRED they themselves, the latter only
    those who came by an invitation; REFERRER who invited them."""

    SIGN_UP = "sign_up"
    REFERRED = "referred"
    REFERRER = "referrer"


class BonusState(StrEnum):
    """As with cashback, but for HELD: it waits for an operator before it is confirmed, never after."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    HELD = "held"
    REVERSED = "reversed"


_B = BonusState
BONUS_STATES = StateMachine(
    "bonus",
    {
        _B.PENDING: [_B.CONFIRMED, _B.DECLINED, _B.HELD],
        _B.HELD: [_B.PENDING, _B.DECLINED],
        _B.CONFIRMED: [_B.REVERSED],
    },
)
# The ledger holds it.
BONUSES_BOOKED = frozenset({_B.PENDING, _B.HELD, _B.CONFIRMED})


# Nothing of it is booked any more, whatever becomes of the sale.
REWARDS_GONE = frozenset({_R.DECLINED, _R.REVERSED})


class ClaimState(StrEnum):
    """INFO_REQUIRED waits for the customer, SENT_TO_MERCHANT for the merchant; either may wait too long and be
    EXPIRED. Nothing is APPROVED without being booked."""

    SUBMITTED = "submitted"
    INFO_REQUIRED = "info_required"
    SENT_TO_MERCHANT = "sent_to_merchant"
    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"


_L = ClaimState
CLAIM_STATES = StateMachine(
    "claim",
    {
        _L.SUBMITTED: [_L.INFO_REQUIRED, _L.SENT_TO_MERCHANT, _L.DECLINED],
        _L.INFO_REQUIRED: [_L.SENT_TO_MERCHANT, _L.DECLINED, _L.EXPIRED],
        _L.SENT_TO_MERCHANT: [_L.INFO_REQUIRED, _L.APPROVED, _L.DECLINED, _L.EXPIRED],
    },
)


class PayoutState(StrEnum):
    """HELD: not sent before two operators have said so. UNKNOWN: the provider did not answer. It is asked by key what
    became of it, and never sent again blindly."""

    REQUESTED = "requested"
    HELD = "held"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_P = PayoutState
PAYOUT_STATES = StateMachine(
    "payout",
    {
        _P.REQUESTED: [_P.HELD, _P.PROCESSING, _P.CANCELLED],
        # Held anew: approvals given so far do not count any more.
        _P.HELD: [_P.HELD, _P.REQUESTED, _P.CANCELLED],
        _P.PROCESSING: [_P.SUCCEEDED, _P.FAILED, _P.UNKNOWN],
        _P.UNKNOWN: [_P.SUCCEEDED, _P.FAILED],
    },
)
# The money has left the customer's balance and is neither paid nor back.
PAYOUTS_IN_FLIGHT = frozenset({_P.REQUESTED, _P.HELD, _P.PROCESSING, _P.UNKNOWN})


class Door(StrEnum):
    """How an event came in."""

    POSTBACK = "postback"
    GRPC = "grpc"
    FILE = "file"
    OPERATOR = "operator"


class EventOutcome(StrEnum):
    """APPLIED had an effect; IGNORED says nothing new or is older than what is known; UNKNOWN_STATUS is a word that
    no mapping knows; REFUSED cannot be taken, and `error` says why. Only APPLIED posts anything."""

    APPLIED = "applied"
    IGNORED = "ignored"
    UNKNOWN_STATUS = "unknown_status"
    REFUSED = "refused"


class ClaimReason(StrEnum):
    """What a customer says is wrong."""

    NOT_TRACKED = "not_tracked"
    WRONG_AMOUNT = "wrong_amount"
    WRONGLY_DECLINED = "wrongly_declined"
    LATE = "late"


class ClaimResolution(StrEnum):
    """How an approved claim was settled: by its SALE, or by GOODWILL of ours where no network pays for it."""

    SALE = "sale"
    GOODWILL = "goodwill"


class ClaimAuthor(StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"


class Entity(StrEnum):
    """What a state change is about."""

    CONVERSION = "conversion"
    REWARD = "reward"
    CLAIM = "claim"
    PAYOUT = "payout"
    BONUS = "bonus"


class FileState(StrEnum):
    """Of a file of sales. DONE: each of its rows has been handed in, and has its answer. FAILED: as a whole."""

    QUEUED = "queued"
    DONE = "done"
    FAILED = "failed"


class ProposalState(StrEnum):
    """Of a status mapping. STOPPED: its job has failed at its last attempt, and an operator may go on with it."""

    PROPOSED = "proposed"
    PREVIEWING = "previewing"
    PREVIEWED = "previewed"
    APPLYING = "applying"
    APPLIED = "applied"
    STOPPED = "stopped"
    DISCARDED = "discarded"


_M = ProposalState
PROPOSAL_STATES = StateMachine(
    "proposed mapping",
    {
        _M.PROPOSED: [_M.PREVIEWING, _M.DISCARDED],
        _M.PREVIEWING: [_M.PREVIEWED, _M.STOPPED],
        _M.PREVIEWED: [_M.PREVIEWING, _M.APPLYING, _M.DISCARDED],
        _M.APPLYING: [_M.APPLIED, _M.STOPPED],
        _M.STOPPED: [_M.PREVIEWING, _M.APPLYING, _M.DISCARDED],
    },
)


class ReplayOutcome(StrEnum):
    """What another mapping makes of a sale. REFUSED: it would be a move that is not possible any more."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class TrackingState(StrEnum):
    """Whether a merchant's sales come as they should. LOW: fewer than expected, so that tracking may be broken. HIGH:
    more, so that they may be reported twice, or be forged. UNKNOWN: too few to tell."""

    UNKNOWN = "unknown"
    NORMAL = "normal"
    LOW = "low"
    HIGH = "high"
