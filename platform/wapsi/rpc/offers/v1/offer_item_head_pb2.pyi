from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class OfferItemHead(_message.Message):
    __slots__ = ("source_time", "offer", "issues", "rejected_offer_id")
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    source_time: bytes
    offer: bytes
    issues: bytes
    rejected_offer_id: str
    def __init__(self, source_time: _Optional[bytes] = ..., offer: _Optional[bytes] = ..., issues: _Optional[bytes] = ..., rejected_offer_id: _Optional[str] = ...) -> None: ...
