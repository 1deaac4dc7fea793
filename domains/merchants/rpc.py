"""gRPC: merchants as producers see them, each only its own."""

from typing import Any

import grpc

from domains.merchants import service
from domains.merchants.service import MerchantNotFound, MerchantRef, MerchantStatus
from wapsi.cursors import decode_cursor, encode_cursor
from wapsi.errors import FieldViolation, Invalid
from wapsi.http.paging import split_page
from wapsi.rpc.merchants.v1 import merchant_pb2, merchant_pb2_grpc
from wapsi.rpc.service import RPCService, current_principal
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

_LISTING = "rpc-merchants"
_STATES = {
    MerchantStatus.DRAFT: merchant_pb2.MERCHANT_STATE_DRAFT,
    MerchantStatus.ACTIVE: merchant_pb2.MERCHANT_STATE_ACTIVE,
    MerchantStatus.PAUSED: merchant_pb2.MERCHANT_STATE_PAUSED,
    MerchantStatus.ARCHIVED: merchant_pb2.MERCHANT_STATE_ARCHIVED,
}


class PageInvalid(Invalid):
    reason = "PAGE_INVALID"


class MerchantServicer(merchant_pb2_grpc.MerchantServiceServicer):
    def __init__(self, runtime: Runtime) -> None:
        self._db = runtime.db

    async def GetMerchant(  # the proto's name
        self,
        request: merchant_pb2.GetMerchantRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> merchant_pb2.GetMerchantResponse:
        """NOT_FOUND for another producer's merchant too: it does not learn that there is one."""
        if "\0" in request.slug:
            raise MerchantNotFound("There is no such merchant.")
        async with self._db.read() as session:
            merchant = await service.get_merchant(session, request.slug)
        if not current_principal().may_use_merchant(merchant.id):
            raise MerchantNotFound(f"There is no merchant {request.slug}.", merchant=request.slug)
        return merchant_pb2.GetMerchantResponse(merchant=_message(merchant))

    async def ListMerchants(
        self,
        request: merchant_pb2.ListMerchantsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> merchant_pb2.ListMerchantsResponse:
        size = request.page_size or DEFAULT_PAGE_SIZE
        if not 1 <= size <= MAX_PAGE_SIZE:
            fault = f"must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}"
            raise PageInvalid(f"page_size {fault}.", violations=[FieldViolation("page_size", fault)])
        key = decode_cursor(_LISTING, request.page_token or None, str)
        after = None if key is None else key[0]
        async with self._db.read() as session:
            found = await service.list_merchants(
                session, limit=size + 1, after_slug=after, merchant_ids=current_principal().merchant_ids
            )
        merchants, more = split_page(found, size)
        return merchant_pb2.ListMerchantsResponse(
            merchants=[_message(merchant) for merchant in merchants],
            next_page_token=encode_cursor(_LISTING, merchants[-1].slug) if more else "",
        )


def rpc_service(runtime: Runtime) -> RPCService:
    return RPCService(
        descriptor=merchant_pb2.DESCRIPTOR.services_by_name["MerchantService"],
        add_to_server=merchant_pb2_grpc.add_MerchantServiceServicer_to_server,
        servicer=MerchantServicer(runtime),
        permissions={"GetMerchant": Permission.MERCHANTS_READ, "ListMerchants": Permission.MERCHANTS_READ},
    )


def _message(merchant: MerchantRef) -> merchant_pb2.Merchant:
    return merchant_pb2.Merchant(
        merchant_id=str(merchant.id),
        slug=merchant.slug,
        name=merchant.name,
        state=_STATES[merchant.status],
        network=merchant.network or "",
        currency=merchant.currency,
    )
