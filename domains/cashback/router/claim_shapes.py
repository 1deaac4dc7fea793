"""REST shapes of claims. Amounts are whole minor units of the currency beside them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from domains.cashback.schemas import Amount, ConversionOut, In, Out, ReasonCode, StateChangeOut, StoryLineOut
from domains.cashback.service import ClaimAuthor, ClaimReason, ClaimResolution, ClaimState

_Text = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]


class ClaimIn(In):
    """`click_id` is the visit that led to the order; the amount is in the merchant's currency."""

    reason_code: ClaimReason
    click_id: UUID
    # A blank around it would be another order, which has no sale.
    order_id: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")
    ]
    order_amount_minor: Amount
    note: _Text = ""


class ClaimOut(Out):
    """`status` says in words how it stands. `due_at`: it ends then, unless whoever is asked has answered.

    `resolution` of an approved one: by its sale, or by `goodwill_minor` of ours.
    """

    id: UUID
    merchant: str
    state: ClaimState
    reason_code: str
    click_id: UUID
    order_id: str
    order_amount_minor: int
    currency: str
    note: str
    decision_code: str
    status: str
    due_at: datetime | None
    resolution: ClaimResolution | None
    goodwill_minor: int | None
    created_at: datetime
    updated_at: datetime


class ClaimMessageIn(In):
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00]*\S[^\x00]*$")]


class ClaimMessageOut(Out):
    id: UUID
    author: ClaimAuthor
    text: str
    at: datetime


class ClaimDetailsOut(Out):
    """`story`: every move of it in a sentence."""

    claim: ClaimOut
    story: list[StoryLineOut]
    messages: list[ClaimMessageOut]


class AdminClaimOut(ClaimOut):
    customer_id: UUID
    conversion_id: UUID | None


class ClaimApprovalOut(Out):
    operator_id: UUID
    amount_minor: int
    reason_code: str
    at: datetime


class ClaimCaseOut(Out):
    """`sale` has the order's number, or is the one that the claim was settled by. `owed_minor` is what goodwill is by
    default: what the receipt promises for the order, less what its sale has earned; null where the receipt does not
    tell. `approvals`: of the `approvals_needed` for goodwill that is large, each by another operator."""

    claim: AdminClaimOut
    story: list[StoryLineOut]
    messages: list[ClaimMessageOut]
    changes: list[StateChangeOut]
    sale: ConversionOut | None
    owed_minor: int | None
    approvals_needed: int
    approvals: list[ClaimApprovalOut]


class ClaimMove(StrEnum):
    """An approval is a call of its own, since it books."""

    INFO_REQUIRED = "info_required"
    SENT_TO_MERCHANT = "sent_to_merchant"
    DECLINED = "declined"


class ClaimDecisionIn(In):
    """`message` goes to the customer; without one nothing can be asked for."""

    state: ClaimMove
    reason_code: ReasonCode
    message: _Text = ""


class ClaimApprovalIn(In):
    """By its sale: the one named, or that with the order's number. By goodwill: the amount named, or what is owed."""

    resolution: ClaimResolution
    reason_code: ReasonCode
    conversion_id: UUID | None = None
    amount_minor: Annotated[int, Field(gt=0, le=10**12, strict=True)] | None = None
