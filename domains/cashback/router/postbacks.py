"""The doors of affiliate networks: signed by Standard Webhooks, or at an address that only the network knows."""

import time

import structlog
from fastapi import Request

from domains.cashback import service
from domains.cashback.router.door_shapes import PostbacksOut
from domains.cashback.router.routers import router
from domains.cashback.schemas import PostbackOut
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.http.deps import PublicDep, RuntimeDep
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import client_address_of, limited
from wapsi.limits.policies import POSTBACK
from wapsi.runtime import Runtime

log = structlog.get_logger(__name__)

_UNSIGNED = "/v1/postbacks/{network}/{token}"


@router.post(
    "/v1/postbacks/{network}",
    tags=["postbacks"],
    dependencies=[PublicDep],
    responses=problem_responses(401, 404, 413),
    openapi_extra=limited(POSTBACK, by="network")
    | {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": service.SaleEvent.model_json_schema()}},
        },
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
            for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        ],
    },
)
async def receive_postback(request: Request, runtime: RuntimeDep, network: str) -> PostbackOut | PostbacksOut:
    """Takes one event about one sale, once for ever: a repeated webhook-id gets the first answer again.

    Of a network whose adapter says so the body is in its own shape, with one event or several; then the same words
    again are the same event. Whatever is signed is stored. An event that could not be read or taken is answered 200
    with its `outcome`, because sending it again would not change that.
    """
    async with runtime.db.read() as session:
        adapter = await service.get_adapter(session, network)
        secrets = await merchants.postback_secrets(session, runtime.keys, adapter.network_id)
    body = await request.body()
    webhook_id = service.verify_postback(secrets, request.headers, body, now_s=time.time())
    events = service.read_postback(adapter, _message(request, body), webhook_id)
    results = await service.take_in(service.intake_of(runtime), adapter, events)
    if adapter.kind == service.STANDARD:
        return PostbackOut.model_validate(results[0])
    return _answer(results)


@router.get(
    _UNSIGNED,
    tags=["postbacks"],
    dependencies=[PublicDep],
    responses=problem_responses(404),
    openapi_extra=limited(POSTBACK, by="network"),
)
async def receive_call(request: Request, runtime: RuntimeDep, network: str, token: str) -> PostbacksOut:
    """Takes events from a network that cannot sign, in its own shape, from the query. Whoever has the token in the
    address speaks for the network. The same words again are the same event, and change nothing."""
    return await _receive_unsigned(request, runtime, network, token, b"")


@router.post(
    _UNSIGNED,
    tags=["postbacks"],
    dependencies=[PublicDep],
    responses=problem_responses(404, 413),
    openapi_extra=limited(POSTBACK, by="network")
    | {
        "requestBody": {
            "content": {
                "application/json": {"schema": {}},
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
            }
        }
    },
)
async def receive_unsigned_postback(request: Request, runtime: RuntimeDep, network: str, token: str) -> PostbacksOut:
    """The same from a form or from JSON."""
    return await _receive_unsigned(request, runtime, network, token, await request.body())


async def _receive_unsigned(request: Request, runtime: Runtime, network: str, token: str, body: bytes) -> PostbacksOut:
    async with runtime.db.read() as session:
        try:
            adapter = await service.adapter_at_address(session, network, token, client_address_of(request))
        except merchants.NetworkNotFound:
            adapter = None
    if adapter is None:
        log.warning("postback_address_refused")
        raise service.PostbackAddressUnknown
    events = service.read_postback(adapter, _message(request, body))
    return _answer(await service.take_in(service.intake_of(runtime), adapter, events))


def _message(request: Request, body: bytes) -> service.Postback:
    query: bytes = request.scope["query_string"]
    return service.Postback(request.method, query, request.headers.get("content-type", ""), body, now())


def _answer(results: list[service.EventResult]) -> PostbacksOut:
    return PostbacksOut(events=[PostbackOut.model_validate(result) for result in results])
