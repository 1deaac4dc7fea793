import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OfferItemHead(_message.Message):
    __slots__ = ("source_time", "offer", "line", "issues", "rejected_offer_id")
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    source_time: _timestamp_pb2.Timestamp
    offer: bytes
    line: int
    issues: _containers.RepeatedScalarFieldContainer[bytes]
    rejected_offer_id: str
    def __init__(self, source_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offer: _Optional[bytes] = ..., line: _Optional[int] = ..., issues: _Optional[_Iterable[bytes]] = ..., rejected_offer_id: _Optional[str] = ...) -> None: ...
