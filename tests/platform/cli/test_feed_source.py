"""`wapsi feed-source`: the words of the command line about where a feed comes from."""

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner

from domains.merchants import service as merchants
from wapsi.cli.feed_source import app
from wapsi.config import get_settings
from wapsi.runtime import Runtime

URL = "https://feeds.example/apikey/s3cr3t/feed?token=s3cr3t"


@pytest.fixture
async def source(runtime: Runtime, environment: dict[str, str], admin_sql: Any) -> Any:
    """Runs the command for a merchant named `shop`."""
    async with runtime.db.write() as session:
        await merchants.create_merchant(session, None, merchants.NewMerchant(slug="shop", name="Shop", currency="PKR"))

    async def run(*arguments: str, **variables: str) -> tuple[int, str]:
        get_settings.cache_clear()
        wide = {"COLUMNS": "300", "TERM": "dumb", "NO_COLOR": "1"}
        result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=wide | environment | variables)
        get_settings.cache_clear()
        return result.exit_code, result.output

    return run


async def test_set_show_and_fetch(source: Any, admin_sql: Any) -> None:
    code, output = await source(
        "set", "shop", "--late-after-s", "7200", "--read", "format=csv", "--map", "title=name", WAPSI_FEED_URL=URL
    )
    assert code == 0, output
    assert "https://feeds.example/apikey/***/feed?***" in output
    assert "s3cr3t" not in output
    [row] = await admin_sql("SELECT options, updated_by FROM feed_sources")
    assert (row["options"], row["updated_by"]) == ('{"map": ["title=name"], "format": "csv"}', "system")
    assert (await source("show", "shop"))[0] == 0
    assert (await source("fetch", "shop", "--force"))[0] == 0
    assert len(await admin_sql("SELECT 1 FROM jobs WHERE kind = 'offers.fetch_feed'")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["set", "shop"], 1, "FEED_SOURCE_INVALID"),
        (["set", "shop", "--url", "https://10.0.0.1/feed"], 1, "not an address on the public network"),
        (["set", "shop", "--url", "https://feeds.example/f", "--every-s", "10"], 2, "every_s"),
        (["set", "shop", "--url", "https://feeds.example/f", "--read", "colour=red"], 2, "options.colour"),
        (["set", "nobody", "--late-after-s", "7200"], 1, "MERCHANT_NOT_FOUND"),
        (["show", "shop"], 1, "FEED_SOURCE_NOT_FOUND"),
        (["fetch", "shop"], 1, "FEED_SOURCE_NOT_FOUND"),
    ],
)
async def test_what_is_wrong_is_said(source: Any, arguments: list[str], code: int, words: str) -> None:
    found, output = await source(*arguments)
    # Lines are broken where the terminal ends.
    assert (found, words in " ".join(output.split())) == (code, True), output
