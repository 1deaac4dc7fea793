from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MerchantState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERCHANT_STATE_UNSPECIFIED: _ClassVar[MerchantState]
    MERCHANT_STATE_DRAFT: _ClassVar[MerchantState]
    MERCHANT_STATE_ACTIVE: _ClassVar[MerchantState]
    MERCHANT_STATE_PAUSED: _ClassVar[MerchantState]
    MERCHANT_STATE_ARCHIVED: _ClassVar[MerchantState]
MERCHANT_STATE_UNSPECIFIED: MerchantState
MERCHANT_STATE_DRAFT: MerchantState
MERCHANT_STATE_ACTIVE: MerchantState
MERCHANT_STATE_PAUSED: MerchantState
MERCHANT_STATE_ARCHIVED: MerchantState

class Merchant(_message.Message):
    __slots__ = ("merchant_id", "slug", "name", "state", "network", "currency")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    slug: str
    name: str
    state: MerchantState
    network: str
    currency: str
    def __init__(self, merchant_id: _Optional[str] = ..., slug: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[MerchantState, str]] = ..., network: _Optional[str] = ..., currency: _Optional[str] = ...) -> None: ...

class GetMerchantRequest(_message.Message):
    __slots__ = ("slug",)
    SLUG_FIELD_NUMBER: _ClassVar[int]
    slug: str
    def __init__(self, slug: _Optional[str] = ...) -> None: ...

class GetMerchantResponse(_message.Message):
    __slots__ = ("merchant",)
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    merchant: Merchant
    def __init__(self, merchant: _Optional[_Union[Merchant, _Mapping]] = ...) -> None: ...

class ListMerchantsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMerchantsResponse(_message.Message):
    __slots__ = ("merchants", "next_page_token")
    MERCHANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchants: _containers.RepeatedCompositeFieldContainer[Merchant]
    next_page_token: str
    def __init__(self, merchants: _Optional[_Iterable[_Union[Merchant, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
