"""Puts a process together: its telemetry, logs, database, keys and who may do what."""

import contextlib
from collections.abc import AsyncIterator

from domains.customers.service import Authentication
from domains.merchants import service as merchants
from domains.offers import service as offers
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.db.versions import Versions
from wapsi.runtime import Runtime
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import Telemetry


def make_runtime(settings: Settings, telemetry: Telemetry, *, role: str) -> Runtime:
    db = Database(settings, role=role)
    telemetry.instrument_engines(*db.engines)
    keys = Keys(settings)
    versions = Versions(db.reads, {"merchants": merchants.VERSION_SQL, "offers": offers.VERSION_SQL})
    return Runtime(settings, db, versions, keys, Authentication(db, keys, settings))


@contextlib.asynccontextmanager
async def checked(runtime: Runtime) -> AsyncIterator[Runtime]:
    """Refuses to start on a pool budget that cannot hold (PoolBudgetExceeded); disposes of the pools at the end."""
    try:
        await runtime.db.check_pool_budget()
        yield runtime
    finally:
        await runtime.db.dispose()


async def check_budget(settings: Settings) -> None:
    """For processes whose loop is not running yet. Raises PoolBudgetExceeded."""
    db = Database(settings, role="check")
    try:
        await db.check_pool_budget()
    finally:
        await db.dispose()
