"""The REST application."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware

from domains.cashback import router as cashback
from domains.customers import router as customers
from domains.merchants import router as merchants
from domains.offers import router as offers
from domains.offers import source_router as feed_sources
from wapsi.http import health
from wapsi.http.deps import PublicDep, RuntimeDep, check_permissions_declared
from wapsi.http.middleware import AccessLog, BodyLimit, RequestID
from wapsi.http.problems import UnexpectedErrors, install_problem_handlers
from wapsi.queue.broker import QueueProbe
from wapsi.runtime import Runtime
from wapsi.telemetry.setup import Telemetry

DESCRIPTION = """Cashback: offers in, clicks out, money back, every paisa explained.

Amounts are integers in minor units (PKR 12.50 is `1250`) with an ISO 4217 currency. Lists are paged by cursor.
Every error is an RFC 9457 problem with a stable `reason`. POSTs that make something need an `Idempotency-Key`."""

# Uploads are limited while they stream (WAPSI_FEED_UPLOAD_LIMIT_BYTES).
_UPLOADS = re.compile(r"/v1/merchants/[^/]+/syncs")

well_known = APIRouter(tags=["keys"], dependencies=[PublicDep])


@well_known.get("/.well-known/jwks.json")
async def public_keys(runtime: RuntimeDep) -> dict[str, object]:
    """The key set that verifies rate receipts and access tokens."""
    return runtime.keys.public_key_set()


def make_http_app(runtime: Runtime, telemetry: Telemetry) -> FastAPI:
    """Raises UndeclaredRoute when a route names no permission."""
    settings = runtime.settings
    queue_probe = QueueProbe(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Made now and in a thread: whoever asked first would hold up the loop for a third of a second.
        await asyncio.to_thread(app.openapi)
        yield
        await queue_probe.aclose()

    app = FastAPI(
        title="Wapsi",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        telemetry={
            "tracer_provider": telemetry.tracers,
            "meter_provider": telemetry.meters,
            "operation_spans": False,
            # Our own handlers log failures, without what was sent.
            "logs": False,
        },
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["*"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-ID"],
                expose_headers=["Location", "X-Request-ID", "ETag", "Idempotency-Replayed", "Retry-After"],
            ),
            Middleware(RequestID),
            Middleware(AccessLog),
            Middleware(UnexpectedErrors),
            Middleware(BodyLimit, limit_bytes=settings.http_body_limit_bytes, exempt=_UPLOADS),
        ],
    )
    app.state.runtime = runtime
    app.state.queue_probe = queue_probe
    install_problem_handlers(app)
    for router in (
        health.router,
        well_known,
        merchants.router,
        offers.router,
        customers.router,
        cashback.router,
        merchants.admin_router,
        feed_sources.admin_router,
        customers.admin_router,
        cashback.admin_router,
    ):
        app.include_router(router)
    check_permissions_declared(app)
    return app
