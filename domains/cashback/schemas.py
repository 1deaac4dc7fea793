"""REST shapes of the cashback domain. Amounts are whole minor units of the currency beside them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from domains.cashback.service import (
    Bucket,
    ConversionState,
    Door,
    EventOutcome,
    PayoutState,
    ReplayOutcome,
    RewardState,
)
from domains.cashback.tracking_schemas import TrackingNoticeOut
from domains.merchants.service import ClawbackTerms, ConfirmationTerms

CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Amount = Annotated[int, Field(gt=0, le=10**15, strict=True)]
ReasonCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,62}$")]


def _text(max_length: int, min_length: int = 0) -> Any:
    # No NUL: the database refuses it.
    return StringConstraints(min_length=min_length, max_length=max_length, pattern=r"^[^\x00]*$")


class In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ClickIn(In):
    """Name an offer, or a merchant by its slug. `link` says where to land, by default the offer's own page."""

    offer_id: UUID | None = None
    merchant: Annotated[str, _text(63, 1)] | None = None
    link: Annotated[str, _text(2000, 1)] | None = None


class ClickOut(Out):
    """Follow `url`. `receipt` says what was promised, signed; its key is in the key set.

    `tracking`: how sales of this merchant have come in so far; null where there were none yet.
    """

    click_id: UUID
    url: str
    receipt: str
    tracking: TrackingNoticeOut | None = None


class ReceiptOut(BaseModel):
    click_id: UUID
    receipt: str


class BalanceOut(Out):
    """In one currency. `held_minor` is a part of `pending_minor`; what is in flight has left `available_minor`."""

    currency: str
    pending_minor: int
    available_minor: int
    held_minor: int
    in_flight_minor: int
    paid_out_minor: int
    owed_minor: int


class BalancesOut(BaseModel):
    balances: list[BalanceOut]


class CashbackOut(Out):
    """`overdue`: the merchant should have decided, and was asked. `network_reason`: its own words on a decision.

    `confirmation`: by the merchant's approval, or when the validation is over, at `expected_confirmation_at`.
    `clawback`: what is taken back after a withdrawal is owed, and kept back from the next cashback, or waived, as
    `waived_minor` was.
    """

    id: UUID
    merchant: str
    merchant_name: str
    state: RewardState
    amount_minor: int
    currency: str
    order_amount_minor: int
    rate_schedule_version: int
    purchased_at: datetime
    expected_confirmation_at: datetime
    confirmation: ConfirmationTerms
    clawback: ClawbackTerms
    waived_minor: int
    confirmed_at: datetime | None
    overdue: bool
    reason_code: str
    network_reason: str
    created_at: datetime


class StatementLineOut(Out):
    """One change of one of the three accounts; more of it is positive."""

    id: int
    at: datetime
    bucket: Bucket
    kind: str
    description: str
    amount_minor: int
    currency: str
    transaction_id: UUID


class PayoutIn(In):
    amount_minor: Amount
    currency: CurrencyCode
    payout_method_id: UUID


class PayoutOut(Out):
    """`destination` shows the last characters of the account. `unknown`: the provider is being asked."""

    id: UUID
    amount_minor: int
    currency: str
    state: PayoutState
    reason_code: str
    payout_method_id: UUID
    destination: str
    created_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None


class PayoutApprovalOut(Out):
    operator_id: UUID
    reason_code: str
    at: datetime


class AdminPayoutOut(PayoutOut):
    """While it is held: `approvals` are those that count, of the `approvals_needed`, each by another operator."""

    customer_id: UUID
    approvals_needed: int
    approvals: list[PayoutApprovalOut]
    provider_reference: str | None
    trace_id: str | None


class PostbackOut(Out):
    """The event is stored. `outcome` applied had an effect; the others had none, and `reason` and `message` say why.

    A repeated event gets the first one's answer with `repeated` true.
    """

    event_id: UUID
    outcome: EventOutcome
    conversion_id: UUID | None
    reason: str
    message: str
    repeated: bool


class LineItemOut(BaseModel):
    """`amount_minor`: what all of the quantity cost together."""

    sku: str
    category: str
    quantity: int
    amount_minor: int


class ConversionOut(Out):
    """`source` is the network's slug, or `direct:` and the merchant's; `raw_status` its last word."""

    id: UUID
    source: str
    external_id: str
    merchant: str
    click_id: UUID | None
    customer_id: UUID | None
    state: ConversionState
    network_state: ConversionState
    raw_status: str
    mapping_version: int | None
    order_amount_minor: int
    commission_minor: int
    reward_id: UUID | None
    reward_minor: int
    reward_state: RewardState | None
    currency: str
    rate_category: str
    line_items: list[LineItemOut]
    customer_type: str
    occurred_at: datetime
    reason_code: str
    network_reason: str
    trace_id: str | None
    created_at: datetime


class EventOut(Out):
    id: UUID
    source: str
    external_event_id: str
    door: Door
    raw_status: str
    mapping_version: int | None
    fields: dict[str, Any]
    received_at: datetime
    outcome: EventOutcome | None
    reason: str
    message: str
    conversion_id: UUID | None
    actor: str
    trace_id: str | None


class ExplainedEventOut(EventOut):
    """`read_as`: our state for the network's word by that version of the mapping; null where it does not know it."""

    read_as: ConversionState | None


class DecisionIn(In):
    """Why: a stable code such as `order_returned`."""

    reason_code: ReasonCode


class ApprovalIn(In):
    reason_code: ReasonCode = "approved_by_operator"


class StoryLineOut(Out):
    at: datetime
    text: str


class ExplainedClickOut(Out):
    id: UUID
    clicked_at: datetime
    redirected_at: datetime | None
    landing_url: str
    offer_title: str | None
    rate_schedule_version: int
    bot: bool
    duplicate_of: UUID | None
    receipt: str
    receipt_verified: bool
    trace_id: str | None


class AdjustmentOut(Out):
    id: UUID
    at: datetime
    event_id: UUID
    order_amount_before_minor: int
    order_amount_after_minor: int
    commission_before_minor: int
    commission_after_minor: int
    reward_before_minor: int
    reward_after_minor: int
    network_reason: str
    transaction_id: UUID | None


class StateChangeOut(Out):
    entity: str
    entity_id: UUID
    from_state: str | None
    to_state: str
    reason_code: str
    actor: str
    event_id: UUID | None
    detail: dict[str, Any]
    trace_id: str | None
    at: datetime


class EntryOut(Out):
    """A debit is positive, a credit negative."""

    account: str
    amount_minor: int
    currency: str


class TransactionOut(Out):
    id: UUID
    kind: str
    source: str
    external_id: str
    description: str
    posted_at: datetime
    trace_id: str | None
    resolves_id: UUID | None
    amends_id: UUID | None
    reverses_id: UUID | None
    entries: list[EntryOut]


class ReadingOut(Out):
    """`words` have another state in this version than in the one before."""

    version: int
    at: datetime
    event_ids: list[UUID]
    words: dict[str, str]
    outcome: ReplayOutcome
    message: str
    applied_by: str


class ExplanationOut(Out):
    """Everything that stands behind a cashback. `attribution`: the rules in order, up to one that failed.

    `pricing`: the rate that matched, those that did not and why, and the calculation in steps. `withdrawals`: from
    the balance, since the cashback became part of it. `readings`: when another version of the status mapping read the
    events anew.
    """

    reward: CashbackOut | None
    conversion: ConversionOut
    story: list[StoryLineOut]
    click: ExplainedClickOut | None
    events: list[ExplainedEventOut]
    attribution: list[dict[str, Any]]
    pricing: dict[str, Any] | None
    adjustments: list[AdjustmentOut]
    changes: list[StateChangeOut]
    ledger: list[TransactionOut]
    withdrawals: list[PayoutOut]
    readings: list[ReadingOut]
    trace_ids: list[str]


class AccountOut(Out):
    """`balance_minor` is on the account's normal side."""

    id: int
    path: str
    currency: str
    normal_side: str
    balance_minor: int
    entries: int


class ViolationOut(Out):
    invariant: str
    subject: str
    message: str


class VerificationOut(BaseModel):
    """What the last verification found; null and empty before the first. `sound` where nothing is wrong."""

    started_at: datetime | None = None
    finished_at: datetime | None = None
    sound: bool | None = None
    violations: list[ViolationOut] = []
