"""The REST application."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from fastapi.middleware import Middleware
from starlette.types import ASGIApp

from domains.cashback import router as cashback
from domains.customers import router as customers
from domains.merchants import router as merchants
from domains.offers import catalogue_router as catalogue
from domains.offers import router as syncs
from domains.offers import source_router as feed_sources
from wapsi.config import Environment
from wapsi.http import health
from wapsi.http.bodies import Bodies
from wapsi.http.cache import ReadCache, cached_routes
from wapsi.http.deps import PublicDep, RuntimeDep, check_permissions_declared
from wapsi.http.direct_routes import ShortWays, read_ways
from wapsi.http.door import Door
from wapsi.http.middleware import AccessLog
from wapsi.http.openapi import DocumentedAPI
from wapsi.http.origins import Origins
from wapsi.http.overload import ConcurrencyLimit
from wapsi.http.problems import install_problem_handlers
from wapsi.http.rate_limits import AddressLimits
from wapsi.http.security_headers import SecurityHeaders
from wapsi.limits.client_address import ClientAddresses
from wapsi.queue.broker import QueueProbe
from wapsi.runtime import Runtime
from wapsi.telemetry.hot_reads import HotReads
from wapsi.telemetry.requests import MeasuredRequests
from wapsi.telemetry.settings import AccessLogging
from wapsi.telemetry.setup import Telemetry

DESCRIPTION = """Cashback: offers in, clicks out, money back, every paisa explained.

Amounts are integers in minor units (PKR 12.50 is `1250`) with an ISO 4217 currency. Lists are paged by cursor.
Every error is an RFC 9457 problem with a stable `reason`. POSTs that make something need an `Idempotency-Key`."""

# Uploads are limited while they stream (feeds by WAPSI_FEED_UPLOAD_LIMIT_BYTES).
_UPLOADS = re.compile(r"/v1/merchants/[^/]+/syncs|/v1/admin/networks/[^/]+/sales-files")
# Files have readers of their own, and whatever a network has sent is kept, readable or not.
_KEPT_AS_THEY_ARE = re.compile(rf"{_UPLOADS.pattern}|/v1/postbacks/[^/]+(?:/[^/]+)?")

well_known = APIRouter(tags=["keys"], dependencies=[PublicDep])


@well_known.get("/.well-known/jwks.json")
async def public_keys(runtime: RuntimeDep) -> dict[str, object]:
    """The key set that verifies rate receipts and access tokens."""
    return runtime.keys.public_key_set()


def make_http_app(runtime: Runtime, telemetry: Telemetry) -> FastAPI:
    """Raises UndeclaredRoute when a route names no permission."""
    settings = runtime.settings

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Made now and in a thread: whoever asked first would hold up the loop for a third of a second.
        await asyncio.to_thread(app.openapi)
        async with app.state.runtime.versions.polling():
            yield
        await app.state.queue_probe.aclose()

    app = DocumentedAPI(
        title="Wapsi",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs" if settings.docs_enabled else None,
        redoc_url="/redoc" if settings.docs_enabled else None,
        # MeasuredRequests does it for a tenth of the time; our own handlers log failures, without what was sent.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        middleware=middleware_of(runtime, telemetry),
    )
    app.state.runtime = runtime
    app.state.queue_probe = QueueProbe(settings)
    app.state.telemetry = telemetry
    install_problem_handlers(app)
    for router in (
        # What is asked for most comes first, since routes are tried in order, which takes 4 µs each.
        catalogue.router,
        health.router,
        well_known,
        merchants.router,
        syncs.router,
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


def middleware_of(runtime: Runtime, telemetry: Telemetry) -> list[Middleware]:
    """The outermost first."""
    settings = runtime.settings
    return [
        Middleware(
            Door,
            measured=MeasuredRequests(telemetry) if telemetry.is_enabled else None,
            security=SecurityHeaders(
                pages=("/docs", "/redoc") if settings.docs_enabled else (),
                strict_transport=settings.environment is Environment.PRODUCTION,
            ),
            log=AccessLog(
                sample=telemetry.settings.access_log is AccessLogging.SAMPLED,
                slow_s=telemetry.settings.trace_slow_ms / 1000,
            ),
            limits=AddressLimits(runtime.limits, ClientAddresses(runtime.limits.settings.trusted_proxies)),
            places=ConcurrencyLimit(limit=settings.http_concurrency_limit, exempt=_UPLOADS),
            bodies=Bodies(settings.http_body_limit_bytes, unlimited=_UPLOADS, kept=_KEPT_AS_THEY_ARE),
        ),
        Middleware(ShortWays, ways=[*read_ways(catalogue.router), *cashback.SHORT_WAYS, *customers.SHORT_WAYS]),
    ]


def make_front(app: FastAPI, runtime: Runtime) -> ASGIApp:
    """What the server runs: the application behind the cache of public reads."""
    settings = runtime.settings
    front: ASGIApp = Origins(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Device-Token",
            "Idempotency-Key",
            "If-None-Match",
            "X-Request-ID",
        ],
        expose_headers=[
            "Location",
            "X-Request-ID",
            "ETag",
            "Device-Token",
            "Idempotency-Replayed",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
        ],
    )
    if not settings.http_cache_limit_bytes:
        return front
    return ReadCache(
        front,
        routes=cached_routes(app),
        versions=runtime.versions,
        hot_reads=HotReads(app.state.telemetry),
        limit_bytes=settings.http_cache_limit_bytes,
        origins=settings.cors_origins,
    )
