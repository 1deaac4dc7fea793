"""What can be wrong with clicks, sales, rewards, claims and payouts."""

from wapsi.errors import (
    Conflict,
    Invalid,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    TooLarge,
    Unauthenticated,
)


class InsufficientBalance(PreconditionFailed):
    """A customer's account would fall below zero."""

    reason = "INSUFFICIENT_BALANCE"


class PostedAlready(Conflict):
    """The ledger holds a posting for this cause: one effect a (source, external id)."""

    reason = "POSTED_ALREADY"


class ResolvedAlready(Conflict):
    """A pending posting is confirmed or declined once."""

    reason = "RESOLVED_ALREADY"


class PostingInvalid(Invalid):
    """Entries that do not balance, are zero or are not whole numbers. A bug of the caller's, not of a user's."""

    reason = "POSTING_INVALID"


class TransactionNotFound(NotFound):
    reason = "TRANSACTION_NOT_FOUND"


class ClickNotFound(NotFound):
    reason = "CLICK_NOT_FOUND"


class ClickTargetInvalid(Invalid):
    """Name either an offer or a merchant."""

    reason = "CLICK_TARGET_INVALID"


class LandingLinkRefused(Invalid):
    """A link that is not a plain web address on one of the merchant's landing hosts."""

    reason = "LANDING_LINK_REFUSED"


class MerchantNotClickable(PreconditionFailed):
    """The merchant takes no clicks: it is not active, or has no link template."""

    reason = "MERCHANT_NOT_CLICKABLE"


class CustomerNotActive(PreconditionFailed):
    reason = "CUSTOMER_NOT_ACTIVE"


class PostbackUnsigned(Unauthenticated):
    """One answer for missing, malformed, stale and wrong: it does not tell a forger which."""

    reason = "POSTBACK_UNSIGNED"

    def __init__(self) -> None:
        super().__init__("The postback's signature is missing, wrong, or older than five minutes.")


class PostbackAddressUnknown(NotFound):
    """One answer for a network, a token and a caller's address that are not good: it does not tell which."""

    reason = "POSTBACK_ADDRESS_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("Nothing is taken in at this address. Ask the operator for the present one.")


class AdapterInvalid(Invalid):
    reason = "ADAPTER_INVALID"


class AdapterMissing(PreconditionFailed):
    """It was never said how the network's messages are read."""

    reason = "ADAPTER_MISSING"


class SalesFileEmpty(Invalid):
    reason = "SALES_FILE_EMPTY"


class SalesFileTooLarge(TooLarge):
    reason = "SALES_FILE_TOO_LARGE"


class SalesFileDiffers(Conflict):
    """The Idempotency-Key was used with another file."""

    reason = "SALES_FILE_DIFFERS"


class SalesFileNotFound(NotFound):
    reason = "SALES_FILE_NOT_FOUND"


class BatchInvalid(Invalid):
    reason = "BATCH_INVALID"


class EventRefused(PreconditionFailed):
    """The event is stored, but had no effect; its own reason is in the metadata as `cause`."""

    reason = "EVENT_REFUSED"


class EventMalformed(Invalid):
    reason = "EVENT_MALFORMED"


class MerchantNotReportable(PermissionDenied):
    """A producer reports only sales of its own merchants."""

    reason = "MERCHANT_NOT_REPORTABLE"


class NetworkNotReportable(PermissionDenied):
    """A producer reports only for its own network."""

    reason = "NETWORK_NOT_REPORTABLE"


class ConversionNotFound(NotFound):
    reason = "CONVERSION_NOT_FOUND"


class RewardNotFound(NotFound):
    reason = "REWARD_NOT_FOUND"


class ClaimNotFound(NotFound):
    reason = "CLAIM_NOT_FOUND"


class ClaimExists(Conflict):
    reason = "CLAIM_EXISTS"


class ClaimEnded(PreconditionFailed):
    reason = "CLAIM_ENDED"


class ClaimMessagesFull(PreconditionFailed):
    """So much was written about a claim that nobody reads it any more."""

    reason = "CLAIM_MESSAGES_FULL"


class ClaimQuestionMissing(Invalid):
    """A customer is asked for information with words that say which."""

    reason = "CLAIM_QUESTION_MISSING"


class ClaimSettlementInvalid(Invalid):
    """A sale is named where goodwill is given, or an amount where a sale decides on it."""

    reason = "CLAIM_SETTLEMENT_INVALID"


class ClaimSaleNotFound(PreconditionFailed):
    """No sale of the merchant has the order's number."""

    reason = "CLAIM_SALE_NOT_FOUND"


class ClaimSaleUndecided(PreconditionFailed):
    """The customer's sale does not give what the claim asks for, yet or any more."""

    reason = "CLAIM_SALE_UNDECIDED"


class GoodwillNotOwed(PreconditionFailed):
    """What was promised for the order is there already, or cannot be told: an amount must be named."""

    reason = "GOODWILL_NOT_OWED"


class GoodwillDiffers(Conflict):
    """The second operator approves the amount that the first one did."""

    reason = "GOODWILL_DIFFERS"


class SaleAttributed(PreconditionFailed):
    """Only a sale that no click explains can be given to one."""

    reason = "SALE_ATTRIBUTED"


class ClickDoesNotExplain(PreconditionFailed):
    """The click is of another merchant, too old or too late, or its receipt does not fit the sale."""

    reason = "CLICK_DOES_NOT_EXPLAIN"


class PayoutNotFound(NotFound):
    reason = "PAYOUT_NOT_FOUND"


class PayoutTooSmall(PreconditionFailed):
    reason = "PAYOUT_TOO_SMALL"


class SecondPersonNeeded(PreconditionFailed):
    """Whoever approved a held payout cannot be the one who releases it."""

    reason = "SECOND_PERSON_NEEDED"


class CurrencyNotPaidOut(PreconditionFailed):
    """No minimum is set for the currency, so that nothing is paid out in it."""

    reason = "CURRENCY_NOT_PAID_OUT"


class PayoutUnderWay(PreconditionFailed):
    """An account cannot go while a payout of it may still come back."""

    reason = "PAYOUT_UNDER_WAY"


class BalanceNotEmpty(PreconditionFailed):
    """An account that holds cashback goes only when that is given up."""

    reason = "BALANCE_NOT_EMPTY"


class BonusNotFound(NotFound):
    reason = "BONUS_NOT_FOUND"


class BonusRuleNotFound(NotFound):
    reason = "BONUS_RULE_NOT_FOUND"


class BonusRuleInvalid(Invalid):
    reason = "BONUS_RULE_INVALID"


class BonusRuleOverlaps(Conflict):
    """At any moment there is one rule of a kind and currency, so that everybody knows what is promised."""

    reason = "BONUS_RULE_OVERLAPS"


class BonusRuleEnded(Conflict):
    reason = "BONUS_RULE_ENDED"


class ProposalNotFound(NotFound):
    reason = "MAPPING_PROPOSAL_NOT_FOUND"


class MappingUnchanged(Invalid):
    """Every word would be read as it is read now."""

    reason = "MAPPING_UNCHANGED"


class MappingAmbiguous(Invalid):
    """One word with two meanings: words that differ in case or space only are one."""

    reason = "MAPPING_AMBIGUOUS"


class MappingReplaced(PreconditionFailed):
    """Another version has become the one that counts since the difference was shown."""

    reason = "MAPPING_REPLACED"


class ReplayUnderWay(PreconditionFailed):
    """Of one source, one mapping is applied at a time."""

    reason = "MAPPING_REPLAY_UNDER_WAY"
