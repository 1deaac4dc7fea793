"""The door of affiliate networks: signed postbacks by Standard Webhooks."""

import time

from fastapi import Request

from domains.cashback import service
from domains.cashback.router.routers import router
from domains.cashback.schemas import PostbackOut
from domains.merchants import service as merchants
from wapsi import strict_json
from wapsi.http.deps import PublicDep, RuntimeDep
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import POSTBACK


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
async def receive_postback(request: Request, runtime: RuntimeDep, network: str) -> PostbackOut:
    """Takes one event about one sale, once for ever: a repeated webhook-id gets the first answer again.

    Whatever is signed is stored. An event that could not be read or taken is answered 200 with its `outcome`,
    because sending it again would not change that.
    """
    async with runtime.db.read() as session:
        source = await service.source_of(session, network)
        assert source.network_id is not None
        secrets = await merchants.postback_secrets(session, runtime.keys, source.network_id)
    body = await request.body()
    webhook_id = service.verify_postback(secrets, request.headers, body, now_s=time.time())
    event, fault = None, ""
    try:
        strict_json.check(body)
        event = service.parse_event(body)
    except (service.Malformed, strict_json.NotStrict) as error:
        fault = str(error)
    report = service.Report(webhook_id, service.Door.POSTBACK, body, f"network:{network}", event, fault, principal=None)
    return PostbackOut.model_validate(await service.intake_of(runtime).submit((source, report)))
