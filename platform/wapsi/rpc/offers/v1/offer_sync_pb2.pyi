import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OfferKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFER_KIND_UNSPECIFIED: _ClassVar[OfferKind]
    OFFER_KIND_PRODUCT: _ClassVar[OfferKind]
    OFFER_KIND_COUPON: _ClassVar[OfferKind]
    OFFER_KIND_DEAL: _ClassVar[OfferKind]

class Availability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AVAILABILITY_UNSPECIFIED: _ClassVar[Availability]
    AVAILABILITY_IN_STOCK: _ClassVar[Availability]
    AVAILABILITY_OUT_OF_STOCK: _ClassVar[Availability]
    AVAILABILITY_PREORDER: _ClassVar[Availability]
    AVAILABILITY_BACKORDER: _ClassVar[Availability]
    AVAILABILITY_LIMITED: _ClassVar[Availability]

class Condition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONDITION_UNSPECIFIED: _ClassVar[Condition]
    CONDITION_NEW: _ClassVar[Condition]
    CONDITION_REFURBISHED: _ClassVar[Condition]
    CONDITION_USED: _ClassVar[Condition]

class Gender(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GENDER_UNSPECIFIED: _ClassVar[Gender]
    GENDER_MALE: _ClassVar[Gender]
    GENDER_FEMALE: _ClassVar[Gender]
    GENDER_UNISEX: _ClassVar[Gender]

class AgeGroup(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGE_GROUP_UNSPECIFIED: _ClassVar[AgeGroup]
    AGE_GROUP_NEWBORN: _ClassVar[AgeGroup]
    AGE_GROUP_INFANT: _ClassVar[AgeGroup]
    AGE_GROUP_TODDLER: _ClassVar[AgeGroup]
    AGE_GROUP_KIDS: _ClassVar[AgeGroup]
    AGE_GROUP_ADULT: _ClassVar[AgeGroup]

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_WARNING: _ClassVar[Severity]
    SEVERITY_ERROR: _ClassVar[Severity]

class SyncMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SYNC_MODE_UNSPECIFIED: _ClassVar[SyncMode]
    SYNC_MODE_FULL: _ClassVar[SyncMode]
    SYNC_MODE_INCREMENTAL: _ClassVar[SyncMode]
    SYNC_MODE_ROLLBACK: _ClassVar[SyncMode]

class SyncState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SYNC_STATE_UNSPECIFIED: _ClassVar[SyncState]
    SYNC_STATE_OPEN: _ClassVar[SyncState]
    SYNC_STATE_QUEUED: _ClassVar[SyncState]
    SYNC_STATE_PROCESSING: _ClassVar[SyncState]
    SYNC_STATE_SUCCEEDED: _ClassVar[SyncState]
    SYNC_STATE_PARTIAL: _ClassVar[SyncState]
    SYNC_STATE_FAILED: _ClassVar[SyncState]
    SYNC_STATE_QUARANTINED: _ClassVar[SyncState]
    SYNC_STATE_CANCELLED: _ClassVar[SyncState]
OFFER_KIND_UNSPECIFIED: OfferKind
OFFER_KIND_PRODUCT: OfferKind
OFFER_KIND_COUPON: OfferKind
OFFER_KIND_DEAL: OfferKind
AVAILABILITY_UNSPECIFIED: Availability
AVAILABILITY_IN_STOCK: Availability
AVAILABILITY_OUT_OF_STOCK: Availability
AVAILABILITY_PREORDER: Availability
AVAILABILITY_BACKORDER: Availability
AVAILABILITY_LIMITED: Availability
CONDITION_UNSPECIFIED: Condition
CONDITION_NEW: Condition
CONDITION_REFURBISHED: Condition
CONDITION_USED: Condition
GENDER_UNSPECIFIED: Gender
GENDER_MALE: Gender
GENDER_FEMALE: Gender
GENDER_UNISEX: Gender
AGE_GROUP_UNSPECIFIED: AgeGroup
AGE_GROUP_NEWBORN: AgeGroup
AGE_GROUP_INFANT: AgeGroup
AGE_GROUP_TODDLER: AgeGroup
AGE_GROUP_KIDS: AgeGroup
AGE_GROUP_ADULT: AgeGroup
SEVERITY_UNSPECIFIED: Severity
SEVERITY_WARNING: Severity
SEVERITY_ERROR: Severity
SYNC_MODE_UNSPECIFIED: SyncMode
SYNC_MODE_FULL: SyncMode
SYNC_MODE_INCREMENTAL: SyncMode
SYNC_MODE_ROLLBACK: SyncMode
SYNC_STATE_UNSPECIFIED: SyncState
SYNC_STATE_OPEN: SyncState
SYNC_STATE_QUEUED: SyncState
SYNC_STATE_PROCESSING: SyncState
SYNC_STATE_SUCCEEDED: SyncState
SYNC_STATE_PARTIAL: SyncState
SYNC_STATE_FAILED: SyncState
SYNC_STATE_QUARANTINED: SyncState
SYNC_STATE_CANCELLED: SyncState

class Offer(_message.Message):
    __slots__ = ("offer_id", "kind", "title", "description", "link", "image_link", "additional_image_links", "price", "sale_price", "sale_starts_at", "sale_ends_at", "availability", "expires_at", "gtins", "mpn", "brand", "item_group_id", "google_product_category", "product_types", "condition", "color", "size", "gender", "age_group", "adult", "rate_category", "cashback_eligible", "custom_attributes", "coupon_code", "starts_at", "ends_at", "delete")
    class CustomAttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
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
    offer_id: str
    kind: OfferKind
    title: str
    description: str
    link: str
    image_link: str
    additional_image_links: _containers.RepeatedScalarFieldContainer[str]
    price: Money
    sale_price: Money
    sale_starts_at: _timestamp_pb2.Timestamp
    sale_ends_at: _timestamp_pb2.Timestamp
    availability: Availability
    expires_at: _timestamp_pb2.Timestamp
    gtins: _containers.RepeatedScalarFieldContainer[str]
    mpn: str
    brand: str
    item_group_id: str
    google_product_category: str
    product_types: _containers.RepeatedScalarFieldContainer[str]
    condition: Condition
    color: str
    size: str
    gender: Gender
    age_group: AgeGroup
    adult: bool
    rate_category: str
    cashback_eligible: bool
    custom_attributes: _containers.ScalarMap[str, str]
    coupon_code: str
    starts_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    delete: bool
    def __init__(self, offer_id: _Optional[str] = ..., kind: _Optional[_Union[OfferKind, str]] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., link: _Optional[str] = ..., image_link: _Optional[str] = ..., additional_image_links: _Optional[_Iterable[str]] = ..., price: _Optional[_Union[Money, _Mapping]] = ..., sale_price: _Optional[_Union[Money, _Mapping]] = ..., sale_starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sale_ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., availability: _Optional[_Union[Availability, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gtins: _Optional[_Iterable[str]] = ..., mpn: _Optional[str] = ..., brand: _Optional[str] = ..., item_group_id: _Optional[str] = ..., google_product_category: _Optional[str] = ..., product_types: _Optional[_Iterable[str]] = ..., condition: _Optional[_Union[Condition, str]] = ..., color: _Optional[str] = ..., size: _Optional[str] = ..., gender: _Optional[_Union[Gender, str]] = ..., age_group: _Optional[_Union[AgeGroup, str]] = ..., adult: _Optional[bool] = ..., rate_category: _Optional[str] = ..., cashback_eligible: _Optional[bool] = ..., custom_attributes: _Optional[_Mapping[str, str]] = ..., coupon_code: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delete: _Optional[bool] = ...) -> None: ...

class Money(_message.Message):
    __slots__ = ("amount_minor", "currency")
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    amount_minor: int
    currency: str
    def __init__(self, amount_minor: _Optional[int] = ..., currency: _Optional[str] = ...) -> None: ...

class OfferItem(_message.Message):
    __slots__ = ("source_time", "offer", "line", "issues", "rejected_offer_id")
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    source_time: _timestamp_pb2.Timestamp
    offer: Offer
    line: int
    issues: _containers.RepeatedCompositeFieldContainer[Issue]
    rejected_offer_id: str
    def __init__(self, source_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., line: _Optional[int] = ..., issues: _Optional[_Iterable[_Union[Issue, _Mapping]]] = ..., rejected_offer_id: _Optional[str] = ...) -> None: ...

class Issue(_message.Message):
    __slots__ = ("severity", "code", "field", "message", "value")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    severity: Severity
    code: str
    field: str
    message: str
    value: str
    def __init__(self, severity: _Optional[_Union[Severity, str]] = ..., code: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class SyncIssue(_message.Message):
    __slots__ = ("offset", "line", "offer_id", "issue")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUE_FIELD_NUMBER: _ClassVar[int]
    offset: int
    line: int
    offer_id: str
    issue: Issue
    def __init__(self, offset: _Optional[int] = ..., line: _Optional[int] = ..., offer_id: _Optional[str] = ..., issue: _Optional[_Union[Issue, _Mapping]] = ...) -> None: ...

class SyncCounters(_message.Message):
    __slots__ = ("received", "created", "updated", "unchanged", "withdrawn_by_item", "stale", "duplicates", "rejected", "withdrawn_unseen", "warnings")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_BY_ITEM_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_UNSEEN_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    received: int
    created: int
    updated: int
    unchanged: int
    withdrawn_by_item: int
    stale: int
    duplicates: int
    rejected: int
    withdrawn_unseen: int
    warnings: int
    def __init__(self, received: _Optional[int] = ..., created: _Optional[int] = ..., updated: _Optional[int] = ..., unchanged: _Optional[int] = ..., withdrawn_by_item: _Optional[int] = ..., stale: _Optional[int] = ..., duplicates: _Optional[int] = ..., rejected: _Optional[int] = ..., withdrawn_unseen: _Optional[int] = ..., warnings: _Optional[int] = ...) -> None: ...

class Sync(_message.Message):
    __slots__ = ("sync_id", "merchant", "mode", "state", "committed_offset", "counters", "processed", "reason", "message", "created_at", "finished_at")
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    PROCESSED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    merchant: str
    mode: SyncMode
    state: SyncState
    committed_offset: int
    counters: SyncCounters
    processed: int
    reason: str
    message: str
    created_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, sync_id: _Optional[str] = ..., merchant: _Optional[str] = ..., mode: _Optional[_Union[SyncMode, str]] = ..., state: _Optional[_Union[SyncState, str]] = ..., committed_offset: _Optional[int] = ..., counters: _Optional[_Union[SyncCounters, _Mapping]] = ..., processed: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StartSyncRequest(_message.Message):
    __slots__ = ("request_id", "merchant", "mode", "as_of", "source", "feed_digest")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FEED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    merchant: str
    mode: SyncMode
    as_of: _timestamp_pb2.Timestamp
    source: str
    feed_digest: bytes
    def __init__(self, request_id: _Optional[str] = ..., merchant: _Optional[str] = ..., mode: _Optional[_Union[SyncMode, str]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., feed_digest: _Optional[bytes] = ...) -> None: ...

class StartSyncResponse(_message.Message):
    __slots__ = ("sync",)
    SYNC_FIELD_NUMBER: _ClassVar[int]
    sync: Sync
    def __init__(self, sync: _Optional[_Union[Sync, _Mapping]] = ...) -> None: ...

class PushOffersRequest(_message.Message):
    __slots__ = ("sync_id", "offset", "items")
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    offset: int
    items: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, sync_id: _Optional[str] = ..., offset: _Optional[int] = ..., items: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PushOffersResponse(_message.Message):
    __slots__ = ("committed_offset",)
    COMMITTED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    committed_offset: int
    def __init__(self, committed_offset: _Optional[int] = ...) -> None: ...

class FinishSyncRequest(_message.Message):
    __slots__ = ("sync_id", "count", "checksum")
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    count: int
    checksum: bytes
    def __init__(self, sync_id: _Optional[str] = ..., count: _Optional[int] = ..., checksum: _Optional[bytes] = ...) -> None: ...

class FinishSyncResponse(_message.Message):
    __slots__ = ("sync",)
    SYNC_FIELD_NUMBER: _ClassVar[int]
    sync: Sync
    def __init__(self, sync: _Optional[_Union[Sync, _Mapping]] = ...) -> None: ...

class CancelSyncRequest(_message.Message):
    __slots__ = ("sync_id",)
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    def __init__(self, sync_id: _Optional[str] = ...) -> None: ...

class CancelSyncResponse(_message.Message):
    __slots__ = ("sync",)
    SYNC_FIELD_NUMBER: _ClassVar[int]
    sync: Sync
    def __init__(self, sync: _Optional[_Union[Sync, _Mapping]] = ...) -> None: ...

class GetSyncRequest(_message.Message):
    __slots__ = ("sync_id",)
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    def __init__(self, sync_id: _Optional[str] = ...) -> None: ...

class GetSyncResponse(_message.Message):
    __slots__ = ("sync",)
    SYNC_FIELD_NUMBER: _ClassVar[int]
    sync: Sync
    def __init__(self, sync: _Optional[_Union[Sync, _Mapping]] = ...) -> None: ...

class WatchSyncRequest(_message.Message):
    __slots__ = ("sync_id",)
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    def __init__(self, sync_id: _Optional[str] = ...) -> None: ...

class WatchSyncResponse(_message.Message):
    __slots__ = ("sync",)
    SYNC_FIELD_NUMBER: _ClassVar[int]
    sync: Sync
    def __init__(self, sync: _Optional[_Union[Sync, _Mapping]] = ...) -> None: ...

class ListSyncsRequest(_message.Message):
    __slots__ = ("merchant", "page_size", "page_token")
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchant: str
    page_size: int
    page_token: str
    def __init__(self, merchant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSyncsResponse(_message.Message):
    __slots__ = ("syncs", "next_page_token")
    SYNCS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    syncs: _containers.RepeatedCompositeFieldContainer[Sync]
    next_page_token: str
    def __init__(self, syncs: _Optional[_Iterable[_Union[Sync, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListSyncIssuesRequest(_message.Message):
    __slots__ = ("sync_id", "page_size", "page_token")
    SYNC_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sync_id: str
    page_size: int
    page_token: str
    def __init__(self, sync_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSyncIssuesResponse(_message.Message):
    __slots__ = ("issues", "next_page_token")
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    issues: _containers.RepeatedCompositeFieldContainer[SyncIssue]
    next_page_token: str
    def __init__(self, issues: _Optional[_Iterable[_Union[SyncIssue, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ValidateOffersRequest(_message.Message):
    __slots__ = ("merchant", "items")
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    merchant: str
    items: _containers.RepeatedCompositeFieldContainer[OfferItem]
    def __init__(self, merchant: _Optional[str] = ..., items: _Optional[_Iterable[_Union[OfferItem, _Mapping]]] = ...) -> None: ...

class ValidateOffersResponse(_message.Message):
    __slots__ = ("issues", "accepted", "rejected")
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    issues: _containers.RepeatedCompositeFieldContainer[SyncIssue]
    accepted: int
    rejected: int
    def __init__(self, issues: _Optional[_Iterable[_Union[SyncIssue, _Mapping]]] = ..., accepted: _Optional[int] = ..., rejected: _Optional[int] = ...) -> None: ...
