"""Puts a process together: its telemetry, logs, database, keys and who may do what."""

import contextlib
from collections.abc import AsyncIterator

from domains.cashback import service as cashback
from domains.customers import service as customers
from domains.customers.service import Authentication
from domains.merchants import service as merchants
from domains.offers import service as offers
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.db.versions import Versions
from wapsi.http import idempotency
from wapsi.limits import LimitSettings, RateLimits, get_limit_settings
from wapsi.personal_data import PersonalData
from wapsi.runtime import Runtime
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import Telemetry


def make_runtime(
    settings: Settings,
    telemetry: Telemetry,
    *,
    role: str,
    limit_settings: LimitSettings | None = None,
    db: Database | None = None,
) -> Runtime:
    """`limit_settings`: default those of the environment. `db`: of another runtime that has ended, with its pools."""
    if db is None:
        db = Database(settings, role=role)
        telemetry.instrument_engines(*db.engines)
    keys = Keys(settings)
    versions = Versions(db.reads, {"merchants": merchants.VERSION_SQL, "offers": offers.VERSION_SQL})
    limits = RateLimits(
        limit_settings or get_limit_settings(), url=settings.queue_url, secret=keys.mac("rate-limits", b"")
    )
    personal_data = PersonalData((cashback.PERSONAL_DATA, customers.PERSONAL_DATA, idempotency.PERSONAL_DATA))
    return Runtime(settings, db, versions, keys, Authentication(db, keys, settings), limits, personal_data)


@contextlib.asynccontextmanager
async def checked(runtime: Runtime) -> AsyncIterator[Runtime]:
    """Refuses to start on a pool budget that cannot hold (PoolBudgetExceeded); disposes of the pools at the end."""
    try:
        await runtime.db.check_pool_budget()
        yield runtime
    finally:
        await runtime.limits.aclose()
        await runtime.db.dispose()


async def check_budget(settings: Settings) -> None:
    """For processes whose loop is not running yet. Raises PoolBudgetExceeded."""
    db = Database(settings, role="check")
    try:
        await db.check_pool_budget()
    finally:
        await db.dispose()
