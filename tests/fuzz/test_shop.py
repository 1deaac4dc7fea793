"""The shop that is fuzzed lets callers in to the end, whatever those before did to it."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from tests.fuzz.shop import Shop
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[object]]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE merchants SET status = 'paused'",
        "UPDATE merchants SET network_id = NULL",
        "INSERT INTO status_mappings (source, version, mapping, created_by) VALUES ('impact', 2, '{}', 'operator:x')",
    ],
)
async def test_customers_with_something_of_their_own_still_come(
    runtime: Runtime, admin_sql: SQL, api: httpx2.AsyncClient, drain: Callable[[], Awaitable[int]], harm: str
) -> None:
    shop = Shop(runtime, admin_sql, api, drain)
    await shop.open()
    await admin_sql(harm)
    assert await shop.token("customer")
    await admin_sql(harm.replace("2, '{}'", "4, '{}'"))
    await shop.refill()
