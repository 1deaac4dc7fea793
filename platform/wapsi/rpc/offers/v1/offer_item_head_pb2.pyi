from wapsi.rpc.offers.v1 import offer_sync_pb2 as _offer_sync_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

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

class PushedItems(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_offer_sync_pb2.OfferItem]
    def __init__(self, items: _Optional[_Iterable[_Union[_offer_sync_pb2.OfferItem, _Mapping]]] = ...) -> None: ...

class PushedHeads(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[OfferItemHead]
    def __init__(self, items: _Optional[_Iterable[_Union[OfferItemHead, _Mapping]]] = ...) -> None: ...
