import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CustomerType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CUSTOMER_TYPE_UNSPECIFIED: _ClassVar[CustomerType]
    CUSTOMER_TYPE_NEW: _ClassVar[CustomerType]
    CUSTOMER_TYPE_EXISTING: _ClassVar[CustomerType]

class AmountsMeaning(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AMOUNTS_MEANING_UNSPECIFIED: _ClassVar[AmountsMeaning]
    AMOUNTS_MEANING_TOTAL: _ClassVar[AmountsMeaning]
    AMOUNTS_MEANING_FIRST: _ClassVar[AmountsMeaning]
    AMOUNTS_MEANING_CHANGE: _ClassVar[AmountsMeaning]

class ConversionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONVERSION_STATE_UNSPECIFIED: _ClassVar[ConversionState]
    CONVERSION_STATE_UNATTRIBUTED: _ClassVar[ConversionState]
    CONVERSION_STATE_PENDING: _ClassVar[ConversionState]
    CONVERSION_STATE_APPROVED: _ClassVar[ConversionState]
    CONVERSION_STATE_SETTLED: _ClassVar[ConversionState]
    CONVERSION_STATE_DECLINED: _ClassVar[ConversionState]
CUSTOMER_TYPE_UNSPECIFIED: CustomerType
CUSTOMER_TYPE_NEW: CustomerType
CUSTOMER_TYPE_EXISTING: CustomerType
AMOUNTS_MEANING_UNSPECIFIED: AmountsMeaning
AMOUNTS_MEANING_TOTAL: AmountsMeaning
AMOUNTS_MEANING_FIRST: AmountsMeaning
AMOUNTS_MEANING_CHANGE: AmountsMeaning
CONVERSION_STATE_UNSPECIFIED: ConversionState
CONVERSION_STATE_UNATTRIBUTED: ConversionState
CONVERSION_STATE_PENDING: ConversionState
CONVERSION_STATE_APPROVED: ConversionState
CONVERSION_STATE_SETTLED: ConversionState
CONVERSION_STATE_DECLINED: ConversionState

class Money(_message.Message):
    __slots__ = ("amount_minor", "currency")
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    amount_minor: int
    currency: str
    def __init__(self, amount_minor: _Optional[int] = ..., currency: _Optional[str] = ...) -> None: ...

class ConversionEvent(_message.Message):
    __slots__ = ("event_id", "conversion_id", "click_id", "merchant", "status", "order_amount", "commission", "rate_category", "customer_type", "occurred_at", "reason", "line_items", "amounts_meaning", "currency")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ORDER_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    COMMISSION_FIELD_NUMBER: _ClassVar[int]
    RATE_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_TYPE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LINE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_MEANING_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    conversion_id: str
    click_id: str
    merchant: str
    status: str
    order_amount: Money
    commission: Money
    rate_category: str
    customer_type: CustomerType
    occurred_at: _timestamp_pb2.Timestamp
    reason: str
    line_items: _containers.RepeatedCompositeFieldContainer[LineItem]
    amounts_meaning: AmountsMeaning
    currency: str
    def __init__(self, event_id: _Optional[str] = ..., conversion_id: _Optional[str] = ..., click_id: _Optional[str] = ..., merchant: _Optional[str] = ..., status: _Optional[str] = ..., order_amount: _Optional[_Union[Money, _Mapping]] = ..., commission: _Optional[_Union[Money, _Mapping]] = ..., rate_category: _Optional[str] = ..., customer_type: _Optional[_Union[CustomerType, str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., line_items: _Optional[_Iterable[_Union[LineItem, _Mapping]]] = ..., amounts_meaning: _Optional[_Union[AmountsMeaning, str]] = ..., currency: _Optional[str] = ...) -> None: ...

class LineItem(_message.Message):
    __slots__ = ("sku", "category", "quantity", "amount_minor")
    SKU_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    sku: str
    category: str
    quantity: int
    amount_minor: int
    def __init__(self, sku: _Optional[str] = ..., category: _Optional[str] = ..., quantity: _Optional[int] = ..., amount_minor: _Optional[int] = ...) -> None: ...

class Conversion(_message.Message):
    __slots__ = ("id", "network", "conversion_id", "merchant", "state", "order_amount", "commission", "reward", "occurred_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ORDER_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    COMMISSION_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    network: str
    conversion_id: str
    merchant: str
    state: ConversionState
    order_amount: Money
    commission: Money
    reward: Money
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., network: _Optional[str] = ..., conversion_id: _Optional[str] = ..., merchant: _Optional[str] = ..., state: _Optional[_Union[ConversionState, str]] = ..., order_amount: _Optional[_Union[Money, _Mapping]] = ..., commission: _Optional[_Union[Money, _Mapping]] = ..., reward: _Optional[_Union[Money, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReportConversionsRequest(_message.Message):
    __slots__ = ("network", "events")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    network: str
    events: _containers.RepeatedCompositeFieldContainer[ConversionEvent]
    def __init__(self, network: _Optional[str] = ..., events: _Optional[_Iterable[_Union[ConversionEvent, _Mapping]]] = ...) -> None: ...

class ReportConversionsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ConversionResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ConversionResult, _Mapping]]] = ...) -> None: ...

class ConversionResult(_message.Message):
    __slots__ = ("event_id", "id", "status", "repeated_event")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REPEATED_EVENT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    id: str
    status: _status_pb2.Status
    repeated_event: bool
    def __init__(self, event_id: _Optional[str] = ..., id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., repeated_event: _Optional[bool] = ...) -> None: ...

class GetConversionRequest(_message.Message):
    __slots__ = ("network", "conversion_id")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    network: str
    conversion_id: str
    def __init__(self, network: _Optional[str] = ..., conversion_id: _Optional[str] = ...) -> None: ...

class GetConversionResponse(_message.Message):
    __slots__ = ("conversion",)
    CONVERSION_FIELD_NUMBER: _ClassVar[int]
    conversion: Conversion
    def __init__(self, conversion: _Optional[_Union[Conversion, _Mapping]] = ...) -> None: ...
