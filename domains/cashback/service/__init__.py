"""What the cashback domain can do. The edges and the composition roots enter here."""

from domains.cashback.errors import (
    BatchInvalid,
    ConversionNotFound,
    EventMalformed,
    EventRefused,
    MerchantNotReportable,
    PostbackUnsigned,
)
from domains.cashback.service.attributing import Candidate, attribute_sale, list_candidates
from domains.cashback.service.bonus_rules import (
    BonusRuleView,
    NewBonusRule,
    add_bonus_rule,
    current_bonus_rules,
    end_bonus_rule,
    list_bonus_rules,
)
from domains.cashback.service.bonus_search import follow_rewards
from domains.cashback.service.bonus_views import BonusExplanation, BonusView, explain_bonus, list_bonuses
from domains.cashback.service.bonuses import decline_bonus, release_bonus
from domains.cashback.service.books import (
    AccountView,
    Balance,
    Bucket,
    StatementLine,
    TransactionView,
    get_transaction,
    list_accounts,
)
from domains.cashback.service.claim_approvals import Settlement, approve_claim
from domains.cashback.service.claim_details import ClaimCase, ClaimDetails, claim_case, claim_details
from domains.cashback.service.claims import (
    ClaimMessage,
    ClaimView,
    NewClaim,
    answer_claim,
    expire_claims,
    list_claims,
    move_claim,
    submit_claim,
)
from domains.cashback.service.click_desk import ClickDesk, click_desk_of, create_click
from domains.cashback.service.clicks import Click, NewClick, ensure_partitions, get_receipt
from domains.cashback.service.conversions import decide, ingest, ingest_many
from domains.cashback.service.enquiries import EnquiryView, list_enquiries
from domains.cashback.service.events import (
    EventResult,
    LineItem,
    Malformed,
    SaleEvent,
    Source,
    check_event,
    parse_event,
    source_of,
)
from domains.cashback.service.explain import Explanation, explain_conversion, explain_reward
from domains.cashback.service.forfeitures import empty_accounts
from domains.cashback.service.intake import Intake, intake_of
from domains.cashback.service.payout_approvals import hold_payout, release_payout
from domains.cashback.service.payout_sending import park_unsent, send_payout, sweep_payouts
from domains.cashback.service.payouts import (
    SEND_PAYOUT,
    PayoutView,
    cancel_payout,
    get_payout,
    list_payouts,
    request_payout,
)
from domains.cashback.service.personal_data import PERSONAL_DATA
from domains.cashback.service.providers import DEFAULT_PROVIDER, PROVIDERS, PayoutProvider, provider_of
from domains.cashback.service.reconciliation import Line, reconcile, reconcile_and_report
from domains.cashback.service.reports import Report, check_reporter
from domains.cashback.service.rewards import hold, mark_overdue, release
from domains.cashback.service.seals import last_seal
from domains.cashback.service.signatures import sign_postback, verify_postback
from domains.cashback.service.stats import TrackingStats, tracking_stats
from domains.cashback.service.verification import (
    report,
    seal_entries,
    verify_and_report,
    verify_everything,
    verify_ledger,
    verify_new_seals,
    verify_seals,
)
from domains.cashback.service.views import (
    ConversionView,
    EventView,
    RewardView,
    find_conversion,
    get_reward,
    list_conversions,
    list_events,
)
from domains.cashback.service.violations import Violation
from domains.cashback.service.wallet import balances, list_rewards, statement
from domains.cashback.states import (
    BonusKind,
    BonusState,
    ClaimAuthor,
    ClaimReason,
    ClaimResolution,
    ClaimState,
    ConversionState,
    Door,
    EventOutcome,
    PayoutState,
    RewardState,
)

__all__ = [
    "DEFAULT_PROVIDER",
    "PERSONAL_DATA",
    "PROVIDERS",
    "SEND_PAYOUT",
    "AccountView",
    "Balance",
    "BatchInvalid",
    "BonusExplanation",
    "BonusKind",
    "BonusRuleView",
    "BonusState",
    "BonusView",
    "Bucket",
    "Candidate",
    "ClaimAuthor",
    "ClaimCase",
    "ClaimDetails",
    "ClaimMessage",
    "ClaimReason",
    "ClaimResolution",
    "ClaimState",
    "ClaimView",
    "Click",
    "ClickDesk",
    "ConversionNotFound",
    "ConversionState",
    "ConversionView",
    "Door",
    "EnquiryView",
    "EventMalformed",
    "EventOutcome",
    "EventRefused",
    "EventResult",
    "EventView",
    "Explanation",
    "Intake",
    "Line",
    "LineItem",
    "Malformed",
    "MerchantNotReportable",
    "NewBonusRule",
    "NewClaim",
    "NewClick",
    "PayoutProvider",
    "PayoutState",
    "PayoutView",
    "PostbackUnsigned",
    "Report",
    "RewardState",
    "RewardView",
    "SaleEvent",
    "Settlement",
    "Source",
    "StatementLine",
    "TrackingStats",
    "TransactionView",
    "Violation",
    "add_bonus_rule",
    "answer_claim",
    "approve_claim",
    "attribute_sale",
    "balances",
    "cancel_payout",
    "check_event",
    "check_reporter",
    "claim_case",
    "claim_details",
    "click_desk_of",
    "create_click",
    "current_bonus_rules",
    "decide",
    "decline_bonus",
    "empty_accounts",
    "end_bonus_rule",
    "ensure_partitions",
    "expire_claims",
    "explain_bonus",
    "explain_conversion",
    "explain_reward",
    "find_conversion",
    "follow_rewards",
    "get_payout",
    "get_receipt",
    "get_reward",
    "get_transaction",
    "hold",
    "hold_payout",
    "ingest",
    "ingest_many",
    "intake_of",
    "last_seal",
    "list_accounts",
    "list_bonus_rules",
    "list_bonuses",
    "list_candidates",
    "list_claims",
    "list_conversions",
    "list_enquiries",
    "list_events",
    "list_payouts",
    "list_rewards",
    "mark_overdue",
    "move_claim",
    "park_unsent",
    "parse_event",
    "provider_of",
    "reconcile",
    "reconcile_and_report",
    "release",
    "release_bonus",
    "release_payout",
    "report",
    "request_payout",
    "seal_entries",
    "send_payout",
    "sign_postback",
    "source_of",
    "statement",
    "submit_claim",
    "sweep_payouts",
    "tracking_stats",
    "verify_and_report",
    "verify_everything",
    "verify_ledger",
    "verify_new_seals",
    "verify_postback",
    "verify_seals",
]
