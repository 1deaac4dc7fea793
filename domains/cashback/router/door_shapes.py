"""REST shapes of the doors that sales come through."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domains.cashback import service
from domains.cashback.schemas import CurrencyCode, PostbackOut
from domains.cashback.service import AdapterSettings, ConversionState, FieldMapping, NetworkAdapter, NewAdapter

Kind = Literal["admitad", "awin", "cj", "generic", "impact", "standard"]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
_Text = Annotated[str, StringConstraints(max_length=500_000, pattern=r"^[^\x00]*$")]


def _without_nul(mapping: FieldMapping) -> FieldMapping:
    if "\0" in mapping.model_dump_json() or "\\u0000" in mapping.model_dump_json():
        raise ValueError("no text may have a NUL character")
    return mapping


_Mapping = Annotated[FieldMapping, AfterValidator(_without_nul)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PostbacksOut(BaseModel):
    """One for each event of the message, in its order."""

    events: list[PostbackOut]


class AdapterIn(_In):
    """How a network's messages are read. `merchants`: its own names of our merchants, {its id: our slug}.

    `time_zone` is of times without an offset, `currency` of amounts without one. `mapping` says which fields mean what,
    for the generic adapter; `file_mapping` does it for files, by default as for messages.
    """

    kind: Kind
    merchants: dict[_Name, _Slug] = Field({}, max_length=10_000)
    time_zone: _Name = "UTC"
    currency: CurrencyCode | None = None
    mapping: _Mapping | None = None
    file_mapping: _Mapping | None = None
    allowed_addresses: Annotated[list[_Name], Field(max_length=100)] = Field(
        [], description="CIDR: where the unsigned address may be called from; none: from anywhere."
    )

    def to_adapter(self) -> NewAdapter:
        settings = AdapterSettings(
            merchants=self.merchants,
            time_zone=self.time_zone,
            currency=self.currency,
            mapping=_stored(self.mapping),
            file_mapping=_stored(self.file_mapping),
        )
        return NewAdapter(self.kind, settings, tuple(self.allowed_addresses))


def _stored(mapping: FieldMapping | None) -> dict[str, Any]:
    return {} if mapping is None else mapping.model_dump(mode="json", exclude_defaults=True)


class AdapterOut(BaseModel):
    """`version` is 0 where nothing was set. `missing_words`: status words of this kind of network that its present
    mapping does not know."""

    network: str
    kind: str
    merchants: dict[str, str]
    time_zone: str
    currency: str | None
    mapping: dict[str, Any] | None
    file_mapping: dict[str, Any] | None
    allowed_addresses: list[str]
    version: int
    has_address: bool
    previous_address_until: datetime | None
    updated_at: datetime | None
    missing_words: list[str]

    @classmethod
    def of(cls, adapter: NetworkAdapter, missing_words: list[str]) -> Self:
        settings = adapter.settings
        return cls(
            network=adapter.network,
            kind=adapter.kind,
            merchants=dict(settings.merchants),
            time_zone=settings.time_zone,
            currency=settings.currency,
            mapping=dict(settings.mapping) or None,
            file_mapping=dict(settings.file_mapping) or None,
            allowed_addresses=list(adapter.allowed_addresses),
            version=adapter.version,
            has_address=adapter.has_address,
            previous_address_until=adapter.previous_address_until,
            updated_at=adapter.updated_at,
            missing_words=missing_words,
        )


class AddressIn(_In):
    overlap_hours: Annotated[int, Field(ge=0, le=720, strict=True)] = Field(
        24, description="How long the address before is good as well; 0: not any more."
    )


class AddressOut(BaseModel):
    """`secret` is the address: the network calls it by GET or POST. It is shown this once."""

    network: str
    secret: str | None
    previous_address_until: datetime | None


class TryIn(_In):
    """What a network could send: the query and the body of a request, or, with a `format`, a file as the `body`.

    `adapter`: settings to try instead of those that hold.
    """

    method: Literal["GET", "POST"] = "POST"
    query: _Text = ""
    content_type: Annotated[str, StringConstraints(max_length=200)] = "application/json"
    body: _Text = ""
    format: Literal["csv", "jsonl"] | None = None
    adapter: AdapterIn | None = None


class TriedOut(BaseModel):
    """`event` is what is stored of it, or null, and `fault` says why. `state`: what its status word means by the
    present mapping, null for one that it does not know. `line`: of a file."""

    external_event_id: str
    event: service.SaleEvent | None
    fault: str
    state: ConversionState | None
    line: int | None


class TryOut(BaseModel):
    """What the message becomes. At most 100 events are shown; nothing is stored."""

    events: list[TriedOut]
    total: int


class SalesFileOut(BaseModel):
    """`rows` have been handed in so far; the counts say what became of them, of those that had come before (`repeated`)
    what became of them then."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    network: str
    name: str
    format: str
    sha256: str
    size_bytes: int
    state: service.FileState
    rows: int
    applied: int
    ignored: int
    unknown_status: int
    refused: int
    repeated: int
    error: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None


class FileLineOut(BaseModel):
    """`line` is where the row begins, from 1; `sale` the network's id of the sale."""

    model_config = ConfigDict(from_attributes=True)

    line: int
    sale: str
    outcome: service.EventOutcome
    reason: str
    message: str
    repeated: bool
    event_id: UUID
