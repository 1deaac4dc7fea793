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

class PushedLasts(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ItemLasts]
    def __init__(self, items: _Optional[_Iterable[_Union[ItemLasts, _Mapping]]] = ...) -> None: ...

class ItemLasts(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: OfferLasts
    def __init__(self, offer: _Optional[_Union[OfferLasts, _Mapping]] = ...) -> None: ...

class OfferLasts(_message.Message):
    __slots__ = ("additional_image_links", "gtins", "product_types")
    ADDITIONAL_IMAGE_LINKS_FIELD_NUMBER: _ClassVar[int]
    GTINS_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_TYPES_FIELD_NUMBER: _ClassVar[int]
    additional_image_links: str
    gtins: str
    product_types: str
    def __init__(self, additional_image_links: _Optional[str] = ..., gtins: _Optional[str] = ..., product_types: _Optional[str] = ...) -> None: ...

class PushedColumns(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: ItemColumns
    def __init__(self, items: _Optional[_Union[ItemColumns, _Mapping]] = ...) -> None: ...

class ItemColumns(_message.Message):
    __slots__ = ("source_time", "offer", "issues")
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    source_time: TimestampColumns
    offer: OfferColumns
    issues: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, source_time: _Optional[_Union[TimestampColumns, _Mapping]] = ..., offer: _Optional[_Union[OfferColumns, _Mapping]] = ..., issues: _Optional[_Iterable[bytes]] = ...) -> None: ...

class TimestampColumns(_message.Message):
    __slots__ = ("seconds", "nanos")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    NANOS_FIELD_NUMBER: _ClassVar[int]
    seconds: _containers.RepeatedScalarFieldContainer[int]
    nanos: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, seconds: _Optional[_Iterable[int]] = ..., nanos: _Optional[_Iterable[int]] = ...) -> None: ...

class OfferColumns(_message.Message):
    __slots__ = ("offer_id", "kind", "title", "description", "link", "image_link", "additional_image_links", "price", "sale_price", "sale_starts_at", "sale_ends_at", "availability", "expires_at", "gtins", "mpn", "brand", "item_group_id", "google_product_category", "product_types", "condition", "color", "size", "gender", "age_group", "adult", "rate_category", "cashback_eligible", "custom_attributes", "coupon_code", "starts_at", "ends_at", "delete")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    IMAGE_LINK_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_IMAGE_LINKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    SALE_PRICE_FIELD_NUMBER: _ClassVar[int]
    SALE_STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    SALE_ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    GTINS_FIELD_NUMBER: _ClassVar[int]
    MPN_FIELD_NUMBER: _ClassVar[int]
    BRAND_FIELD_NUMBER: _ClassVar[int]
    ITEM_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    GOOGLE_PRODUCT_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_TYPES_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    GENDER_FIELD_NUMBER: _ClassVar[int]
    AGE_GROUP_FIELD_NUMBER: _ClassVar[int]
    ADULT_FIELD_NUMBER: _ClassVar[int]
    RATE_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CASHBACK_ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    COUPON_CODE_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    offer_id: _containers.RepeatedScalarFieldContainer[str]
    kind: _containers.RepeatedScalarFieldContainer[int]
    title: _containers.RepeatedScalarFieldContainer[str]
    description: _containers.RepeatedScalarFieldContainer[str]
    link: _containers.RepeatedScalarFieldContainer[str]
    image_link: _containers.RepeatedScalarFieldContainer[str]
    additional_image_links: _containers.RepeatedScalarFieldContainer[str]
    price: MoneyColumns
    sale_price: _containers.RepeatedScalarFieldContainer[bytes]
    sale_starts_at: _containers.RepeatedScalarFieldContainer[bytes]
    sale_ends_at: _containers.RepeatedScalarFieldContainer[bytes]
    availability: _containers.RepeatedScalarFieldContainer[int]
    expires_at: _containers.RepeatedScalarFieldContainer[bytes]
    gtins: _containers.RepeatedScalarFieldContainer[str]
    mpn: _containers.RepeatedScalarFieldContainer[str]
    brand: _containers.RepeatedScalarFieldContainer[str]
    item_group_id: _containers.RepeatedScalarFieldContainer[str]
    google_product_category: _containers.RepeatedScalarFieldContainer[str]
    product_types: _containers.RepeatedScalarFieldContainer[str]
    condition: _containers.RepeatedScalarFieldContainer[int]
    color: _containers.RepeatedScalarFieldContainer[str]
    size: _containers.RepeatedScalarFieldContainer[str]
    gender: _containers.RepeatedScalarFieldContainer[int]
    age_group: _containers.RepeatedScalarFieldContainer[int]
    adult: _containers.RepeatedScalarFieldContainer[bool]
    rate_category: _containers.RepeatedScalarFieldContainer[str]
    cashback_eligible: _containers.RepeatedScalarFieldContainer[bool]
    custom_attributes: _containers.RepeatedScalarFieldContainer[bytes]
    coupon_code: _containers.RepeatedScalarFieldContainer[str]
    starts_at: _containers.RepeatedScalarFieldContainer[bytes]
    ends_at: _containers.RepeatedScalarFieldContainer[bytes]
    delete: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, offer_id: _Optional[_Iterable[str]] = ..., kind: _Optional[_Iterable[int]] = ..., title: _Optional[_Iterable[str]] = ..., description: _Optional[_Iterable[str]] = ..., link: _Optional[_Iterable[str]] = ..., image_link: _Optional[_Iterable[str]] = ..., additional_image_links: _Optional[_Iterable[str]] = ..., price: _Optional[_Union[MoneyColumns, _Mapping]] = ..., sale_price: _Optional[_Iterable[bytes]] = ..., sale_starts_at: _Optional[_Iterable[bytes]] = ..., sale_ends_at: _Optional[_Iterable[bytes]] = ..., availability: _Optional[_Iterable[int]] = ..., expires_at: _Optional[_Iterable[bytes]] = ..., gtins: _Optional[_Iterable[str]] = ..., mpn: _Optional[_Iterable[str]] = ..., brand: _Optional[_Iterable[str]] = ..., item_group_id: _Optional[_Iterable[str]] = ..., google_product_category: _Optional[_Iterable[str]] = ..., product_types: _Optional[_Iterable[str]] = ..., condition: _Optional[_Iterable[int]] = ..., color: _Optional[_Iterable[str]] = ..., size: _Optional[_Iterable[str]] = ..., gender: _Optional[_Iterable[int]] = ..., age_group: _Optional[_Iterable[int]] = ..., adult: _Optional[_Iterable[bool]] = ..., rate_category: _Optional[_Iterable[str]] = ..., cashback_eligible: _Optional[_Iterable[bool]] = ..., custom_attributes: _Optional[_Iterable[bytes]] = ..., coupon_code: _Optional[_Iterable[str]] = ..., starts_at: _Optional[_Iterable[bytes]] = ..., ends_at: _Optional[_Iterable[bytes]] = ..., delete: _Optional[_Iterable[bool]] = ...) -> None: ...

class MoneyColumns(_message.Message):
    __slots__ = ("amount_minor", "currency")
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    amount_minor: _containers.RepeatedScalarFieldContainer[int]
    currency: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, amount_minor: _Optional[_Iterable[int]] = ..., currency: _Optional[_Iterable[str]] = ...) -> None: ...
