"""/healthz: the process is up. /readyz: it can serve. /livez: it need not be restarted."""

import asyncio
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from wapsi.http.deps import PublicDep, RuntimeDep
from wapsi.queue.broker import QueueProbe

log = structlog.get_logger(__name__)
router = APIRouter(tags=["health"], dependencies=[PublicDep])

_CHECK_TIMEOUT_S = 2.0


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """`failed` names each dependency that did not answer, with the reason in words."""

    status: Literal["ready", "not_ready"]
    failed: dict[str, str] = {}


async def get_queue_probe(request: Request) -> QueueProbe:
    probe: QueueProbe = request.app.state.queue_probe
    return probe


@router.get("/healthz")
async def healthz() -> Health:
    return Health()


@router.get("/livez")
async def livez() -> Health:
    """Never fails for a dependency: restarting us would not bring it back."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(
    runtime: RuntimeDep, queue: Annotated[QueueProbe, Depends(get_queue_probe)], response: Response
) -> Readiness:
    checks = {"database": runtime.db.ping(), "queue": queue.ping()}
    results = await asyncio.gather(
        *(asyncio.wait_for(check, _CHECK_TIMEOUT_S) for check in checks.values()), return_exceptions=True
    )
    failed = {}
    for name, result in zip(checks, results, strict=True):
        if isinstance(result, Exception):
            log.warning("dependency_unavailable", dependency=name, cause=repr(result))
            failed[name] = f"did not answer ({type(result).__name__})"
    if failed:
        response.status_code = 503
        return Readiness(status="not_ready", failed=failed)
    return Readiness(status="ready")
