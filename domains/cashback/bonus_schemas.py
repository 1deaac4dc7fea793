"""REST shapes of bonuses. Amounts are whole minor units of the currency beside them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from domains.cashback.schemas import Amount, CurrencyCode, StoryLineOut, TransactionOut
from domains.cashback.service import BonusKind, BonusState, NewBonusRule

# No NUL: the database refuses it.
_Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
_Terms = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class BonusRuleIn(BaseModel):
    """Whoever joins from `starts_at` (default: now) to `ends_at` (default: open) and earns a first confirmed cashback
    of `min_reward_minor` or more, by a purchase within `within_days` of joining, brings it about: for themselves
    (`sign_up`; `referred`: only who was invited), or for who invited them (`referrer`). It is pending for `hold_days`.
    """

    model_config = ConfigDict(extra="forbid")

    name: _Name
    kind: BonusKind
    currency: CurrencyCode
    amount_minor: Annotated[int, Field(gt=0, le=10**9, strict=True)]
    min_reward_minor: Annotated[int, Field(ge=0, le=10**9, strict=True)]
    within_days: Annotated[int, Field(ge=1, le=730, strict=True)] = 90
    hold_days: Annotated[int, Field(ge=0, le=365, strict=True)] = 30
    max_per_customer: Annotated[int, Field(ge=1, le=10**6, strict=True)] | None = None
    budget_minor: Amount | None = None
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    terms: _Terms = ""

    def to_rule(self) -> NewBonusRule:
        return NewBonusRule(**self.model_dump())


class BonusRuleOut(_Out):
    """What whoever joins while it holds is promised."""

    id: UUID
    name: str
    terms: str
    kind: BonusKind
    currency: str
    amount_minor: int
    min_reward_minor: int
    within_days: int
    hold_days: int
    max_per_customer: int | None
    starts_at: datetime
    ends_at: datetime | None


class BonusRulesOut(BaseModel):
    rules: list[BonusRuleOut]


class AdminBonusRuleOut(BonusRuleOut):
    """`spent_minor`: what its bonuses come to that are pending, held or confirmed."""

    budget_minor: int | None
    spent_minor: int
    created_by: str
    created_at: datetime


class BonusOut(_Out):
    """`reward_id`: the cashback that it was given for; null where that is a friend's."""

    id: UUID
    rule_id: UUID
    name: str
    kind: BonusKind
    state: BonusState
    amount_minor: int
    currency: str
    reason_code: str
    available_at: datetime
    confirmed_at: datetime | None
    created_at: datetime
    reward_id: Annotated[UUID | None, Field(validation_alias="own_reward_id")]


class AdminBonusOut(_Out):
    """`newcomer_id` has joined and earned the cashback `reward_id`; `customer_id` gets the bonus for it."""

    id: UUID
    customer_id: UUID
    newcomer_id: UUID
    reward_id: UUID
    rule_id: UUID
    name: str
    kind: BonusKind
    state: BonusState
    amount_minor: int
    currency: str
    reason_code: str
    available_at: datetime
    confirmed_at: datetime | None
    created_at: datetime


class BonusExplanationOut(_Out):
    bonus: BonusOut
    rule: BonusRuleOut
    story: list[StoryLineOut]
    ledger: list[TransactionOut]
