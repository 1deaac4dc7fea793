"""REST shapes of status mappings. Amounts are whole minor units of the currency beside them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from domains.cashback.service import ConversionState, ProposalState, ReplayOutcome

MAX_WORDS = 300
Word = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
SourceName = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^(direct:)?[a-z0-9-]+$")]


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class MappingProposalIn(BaseModel):
    """`words` are all that the mapping is to know, in any case; `source` is a network's slug, or `direct:` and a
    merchant's."""

    model_config = ConfigDict(extra="forbid")

    source: SourceName
    words: Annotated[
        dict[Word, Literal["pending", "approved", "settled", "declined"]], Field(min_length=1, max_length=MAX_WORDS)
    ]
    note: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")] = ""


class MappingOut(_Out):
    """A version of a source's mapping; the `active` one is what events are read by."""

    id: UUID
    source: str
    version: int
    words: dict[str, str]
    active: bool
    created_by: str
    created_at: datetime


class UnknownWordOut(_Out):
    """`events` wait for a mapping that knows the word."""

    source: str
    word: str
    events: int
    first_at: datetime
    last_at: datetime


class UnknownWordsOut(BaseModel):
    items: list[UnknownWordOut]


class WordChangeOut(_Out):
    """null: the mapping does not know the word. What a word said before it was dropped stands."""

    word: str
    before: ConversionState | None
    after: ConversionState | None


class MovesOut(_Out):
    """`state_before` is null where no mapping knew a word of the sale, so that it is none yet."""

    state_before: ConversionState | None
    state_after: ConversionState | None
    sales: int


class SumOut(_Out):
    currency: str
    commission_change_minor: int
    cashback_change_minor: int


class RefusalsOut(_Out):
    """Sales that stay as they are, because the move is not possible any more, or somebody has decided since."""

    reason: str
    state: ConversionState | None
    sales: int


class DifferenceOut(_Out):
    """What applying it changes, or has changed; `waiting` sales are not decided yet."""

    events: int
    sales: int
    waiting: int
    unchanged: int
    moves: list[MovesOut]
    sums: list[SumOut]
    refused: list[RefusalsOut]


class MappingProposalOut(_Out):
    """`changes` are against version `base_version`. `version`: what it has become by being applied.

    `previewed_at`: the difference is as of then.
    """

    id: UUID
    source: str
    state: ProposalState
    words: dict[str, str]
    note: str
    base_version: int
    changes: list[WordChangeOut]
    version: int | None
    events_looked_at: int
    error: str
    created_by: str
    created_at: datetime
    previewed_at: datetime | None
    applied_by: str | None
    activated_at: datetime | None


class MappingDifferenceOut(MappingProposalOut):
    difference: DifferenceOut


class SaleDifferenceOut(_Out):
    """`external_id` is the network's. `applied_at` is null while it is a preview."""

    external_id: str
    conversion_id: UUID | None
    event_ids: list[UUID]
    outcome: ReplayOutcome | None
    state_before: ConversionState | None
    state_after: ConversionState | None
    currency: str | None
    commission_before_minor: int
    commission_after_minor: int
    cashback_before_minor: int
    cashback_after_minor: int
    reason: str
    message: str
    applied_at: datetime | None
