"""`wapsi sales push`: a file of sales from the command line, and what it says of each row without an effect."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from domains.cashback import actors
from domains.cashback import service as cashback
from domains.merchants import service as merchants
from wapsi.cli.sales import app
from wapsi.config import get_settings
from wapsi.queue.jobs import run_job
from wapsi.runtime import Runtime

ROWS = (
    "conversion_id,merchant,status,order_amount_minor,currency,occurred_at\n"
    "s-1,shop,approved,1000,PKR,2025-11-29T10:00:00Z\n"
    "s-2,shop,odd,1000,PKR,2025-11-29T10:00:00Z\n"
    "s-3,nobody,approved,1000,PKR,2025-11-29T10:00:00Z\n"
)


@pytest.fixture
async def push(runtime: Runtime, environment: dict[str, str], admin_sql: Any, tmp_path: Path) -> Any:
    """Runs the command beside a worker, which is there or not."""
    assert actors is not None
    async with runtime.db.write() as session:
        await merchants.create_network(session, None, runtime.keys, slug="net", name="Net")
        new = merchants.NewMerchant(slug="shop", name="Shop", currency="PKR", network="net")
        await merchants.create_merchant(session, None, new)

    async def work() -> None:
        while True:
            query = "SELECT id FROM jobs WHERE kind = $1 AND state = 'ready'"
            for row in await admin_sql(query, cashback.TAKE_IN_FILE):
                await run_job(runtime, row["id"])
            await asyncio.sleep(0.05)

    async def push(content: str, *arguments: str, worker: bool = True) -> tuple[int, str]:
        file = tmp_path / "sales.csv"
        await asyncio.to_thread(file.write_text, content)
        get_settings.cache_clear()
        wide = {"COLUMNS": "300", "TERM": "dumb", "NO_COLOR": "1"}
        command = [str(file), *(arguments or ("--network", "net"))]
        working = asyncio.create_task(work() if worker else asyncio.sleep(0))
        try:
            result = await asyncio.to_thread(CliRunner().invoke, app, ["push", *command], env=wide | environment)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            get_settings.cache_clear()
        return result.exit_code, result.output

    return push


async def test_rows_without_an_effect_are_told(push: Any, admin_sql: Any) -> None:
    code, output = await push(ROWS)
    assert code == 1, output
    assert "net: sales.csv, done" in output
    assert "UNKNOWN_STATUS" in output
    assert "MERCHANT_UNKNOWN" in output
    [row] = await admin_sql("SELECT actor, door FROM conversion_events WHERE outcome = 'applied'")
    assert tuple(row) == ("system", "file")


async def test_same_file_again_changes_nothing(push: Any, admin_sql: Any) -> None:
    content = "".join(ROWS.splitlines(keepends=True)[:2])
    for repeated in (0, 1):
        code, output = await push(content)
        assert code == 0, output
        assert await admin_sql("SELECT count(*) FROM conversion_events") == [(1,)]
        [row] = await admin_sql("SELECT repeated FROM sales_files ORDER BY id DESC LIMIT 1")
        assert row["repeated"] == repeated


async def test_push_that_is_under_way_is_gone_on_with(push: Any, admin_sql: Any) -> None:
    for _ in range(2):
        code, output = await push(ROWS, "--network", "net", "--wait-s", "0", worker=False)
        assert code == 3, output
        assert "not done yet" in output
    assert len(await admin_sql("SELECT 1 FROM sales_files")) == 1


@pytest.mark.parametrize(
    ("content", "network", "words"),
    [("", "net", "SALES_FILE_EMPTY"), (ROWS, "nobody", "NETWORK_NOT_FOUND"), ("a,a\n", "net", "a name twice")],
)
async def test_what_is_wrong_is_said(push: Any, content: str, network: str, words: str) -> None:
    code, output = await push(content, "--network", network)
    assert code == 1, output
    assert words in output
