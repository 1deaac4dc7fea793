"""`wapsi secrets re-encrypt`: everything that is encrypted, in windows, and after it the earlier secret may go."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr
from typer.testing import Result

from domains.merchants import service as merchants
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.roots.secrets import ENCRYPTED
from wapsi.runtime import Runtime
from wapsi.security import reencryption
from wapsi.security.reencryption import Renewal, renew
from wapsi.security.signing import Keys, SignatureInvalid

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Headers = dict[str, str]
IBAN = "PK36SCBL0000001123456702"
NEXT = "the next secret, of 32 characters or more"
# What is stored as bytes and is no text that we encrypted: hashes, MACs, public keys, packed columns.
NOT_ENCRYPTED = {
    "clicks.receipt_mac",
    "conversion_events.raw",
    "network_adapters.token_hash",
    "network_adapters.token_previous_hash",
    "offer_revisions.content_hash",
    "offers.content_hash",
    "producers.key_hash",
    "sales_file_pieces.data",
    "sales_files.sha256",
    "sync_chunks.content_hashes",
    "sync_chunks.kinds",
    "sync_chunks.payload",
    "sync_chunks.source_times",
    "sync_uploads.data",
    "syncs.checksum",
    "syncs.feed_digest",
    "idempotent_answers.body",
    "idempotent_answers.fingerprint",
    "ledger_seals.digests",
    "ledger_seals.mac",
    "ledger_seals.rows_hash",
    "messages.recipient_fingerprint",
    "passkeys.credential_id",
    "passkeys.public_key",
    "payout_methods.account_fingerprint",
    "producer_keys.certificate_sha256",
    "producer_keys.hash",
    "recovery_codes.code_hash",
    "sessions.refresh_hash",
    "verifications.code_mac",
}
BYTES = """SELECT c.relname || '.' || a.attname AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped AND a.attnum > 0"""


def with_secrets(settings: Settings, current: str, previous: str = "") -> Settings:
    update = {"secret_key": SecretStr(current), "secret_keys_previous": SecretStr(previous)}
    return settings.model_copy(update=update)


@pytest.fixture
def before(settings: Settings) -> str:
    """With a comma in it, so it stands on a line."""
    return settings.secret_key.get_secret_value() + "\n"


@pytest.fixture
def keys_after(settings: Settings) -> Keys:
    """Of a process that knows nothing of the earlier secret."""
    return Keys(with_secrets(settings, NEXT))


@pytest.fixture
def reencrypt(run: Any, environment: dict[str, str], before: str) -> Callable[..., Awaitable[Result]]:
    """The command, with the next secret and the one before it; on a thread, as it has a loop of its own."""

    async def reencrypt(*arguments: str, previous: str = before) -> Result:
        secrets = {"WAPSI_SECRET_KEY": NEXT, "WAPSI_SECRET_KEYS_PREVIOUS": previous}
        result: Result = await asyncio.to_thread(run, "secrets", "re-encrypt", *arguments, **(environment | secrets))
        return result

    return reencrypt


@pytest.fixture
async def asma(api: httpx2.AsyncClient, runtime: Runtime, customer_headers: Any, drain: Any, admin_sql: SQL) -> Headers:
    """With something in every encrypted column. Her headers."""
    headers: Headers = await customer_headers("asma@example.com")
    assert (await add_account(api, headers)).status_code == 201
    app = await api.post("/v1/me/factors/totp", json={"current_password": "correct horse battery"}, headers=headers)
    assert app.status_code == 201, app.text
    asked = await api.post(
        "/v1/password-resets", json={"email": "asma@example.com"}, headers={"Idempotency-Key": uuid4().hex}
    )
    assert asked.status_code == 202, asked.text
    await drain()
    async with runtime.db.write() as session:
        await merchants.create_network(session, None, runtime.keys, slug="daraz", name="Daraz")
        await merchants.rotate_network_secret(session, None, runtime.keys, "daraz")
    (merchant,) = await admin_sql(
        "INSERT INTO merchants (slug, name, currency) VALUES ('khaadi', 'Khaadi', 'PKR') RETURNING id"
    )
    await admin_sql(
        "INSERT INTO feed_sources (merchant_id, url, sealed_url, mode, every_s, enabled, failures, last_reason,"
        " last_message, watched_since, updated_by) VALUES ($1, 'https://khaadi.example/…', $2, 'full', 3600, true, 0,"
        " '', '', now(), 'system')",
        merchant["id"],
        runtime.keys.encrypt("https://khaadi.example/feed?key=secret"),
    )
    return headers


async def add_account(api: httpx2.AsyncClient, headers: Headers) -> httpx2.Response:
    body = {"kind": "bank_account", "iban": IBAN, "label": "Mine"}
    return await api.post("/v1/me/payout-methods", json=body, headers=headers | {"Idempotency-Key": uuid4().hex})


async def stored(admin_sql: SQL) -> dict[str, list[bytes]]:
    found = {}
    for column in ENCRYPTED:
        table, name = column.name.split(".")
        rows = await admin_sql(f"SELECT {name} AS data FROM {table} WHERE length({name}) > 0")  # our own names
        found[column.name] = [row["data"] for row in rows]
    return found


def read(found: dict[str, list[bytes]], keys: Keys) -> dict[str, list[str]]:
    """Sorted: rows that are written anew lie elsewhere."""
    return {name: sorted(keys.decrypt(data) for data in rows) for name, rows in found.items()}


async def test_all_can_be_read_afterwards_without_the_earlier_secret(
    asma: Headers, reencrypt: Any, admin_sql: SQL, keys_after: Keys, runtime: Runtime
) -> None:
    texts = read(await stored(admin_sql), runtime.keys)
    assert all(texts.values()), "a column that the test has nothing in"
    done = await reencrypt()
    assert done.exit_code == 0, done.output
    assert read(await stored(admin_sql), keys_after) == texts


async def test_an_account_is_still_known_to_be_there(
    asma: Headers, api: httpx2.AsyncClient, reencrypt: Any, admin_sql: SQL, keys_after: Keys, app: Any
) -> None:
    assert (await reencrypt()).exit_code == 0
    (row,) = await admin_sql("SELECT account_fingerprint FROM payout_methods")
    assert row["account_fingerprint"] == keys_after.mac("payout-account", f"bank_account None {IBAN}".encode())


async def test_a_second_run_finds_nothing_to_do(asma: Headers, reencrypt: Any, admin_sql: SQL) -> None:
    assert (await reencrypt()).exit_code == 0
    once = await stored(admin_sql)
    assert (await reencrypt()).exit_code == 0
    assert await stored(admin_sql) == once


async def test_check_changes_nothing_and_says_whether_the_earlier_secret_is_needed(
    asma: Headers, reencrypt: Any, admin_sql: SQL
) -> None:
    before = await stored(admin_sql)
    looked = await reencrypt("--check")
    assert looked.exit_code == 1
    assert "An earlier key is still needed" in looked.output
    assert await stored(admin_sql) == before
    assert (await reencrypt()).exit_code == 0
    assert (await reencrypt("--check")).exit_code == 0


async def test_what_cannot_be_read_is_named_and_left_as_it_is(asma: Headers, reencrypt: Any, admin_sql: SQL) -> None:
    before = await stored(admin_sql)
    done = await reencrypt(previous="")
    assert done.exit_code == 1
    (row,) = await admin_sql("SELECT id FROM payout_methods")
    assert f"payout_methods.account_encrypted of {row['id']}" in done.output
    assert IBAN not in done.output
    assert await stored(admin_sql) == before


async def test_it_goes_window_by_window_and_on_after_it_was_broken_off(
    db: Database, settings: Settings, before: str, runtime: Runtime, admin_sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencryption, "WINDOW", 2)
    for number in range(5):
        await admin_sql(
            "INSERT INTO affiliate_networks (slug, name, kind, secret_current) VALUES ($1, $1, 'aggregator', $2)",
            f"network-{number}",
            runtime.keys.encrypt(f"whsec_{number}"),
        )
    keys = Keys(with_secrets(settings, NEXT, before))
    (column,) = [column for column in ENCRYPTED if column.name == "affiliate_networks.secret_current"]

    def broken_off(so_far: Renewal) -> None:
        if so_far.seen == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await renew(db, keys, column, broken_off)
    heard: list[tuple[int, int]] = []
    found = await renew(db, keys, column, lambda so_far: heard.append((so_far.seen, so_far.renewed)))
    assert heard == [(2, 0), (4, 0), (5, 1)]
    assert (found.renewed, found.unreadable) == (1, 0)


async def test_a_row_that_is_changed_meanwhile_stays_as_it_was_written(
    db: Database, settings: Settings, before: str, runtime: Runtime, admin_sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with db.write() as session:
        await merchants.create_network(session, None, runtime.keys, slug="daraz", name="Daraz")
    keys = Keys(with_secrets(settings, NEXT, before))
    (column,) = [column for column in ENCRYPTED if column.name == "affiliate_networks.secret_current"]
    theirs = keys.encrypt("whsec_theirs")
    read = reencryption._window

    async def read_and_lose(*arguments: Any) -> Any:
        rows = await read(*arguments)
        await admin_sql("UPDATE affiliate_networks SET secret_current = $1", theirs)
        return rows

    monkeypatch.setattr(reencryption, "_window", read_and_lose)
    await renew(db, keys, column, lambda _so_far: None)
    (row,) = await admin_sql("SELECT secret_current FROM affiliate_networks")
    assert row["secret_current"] == theirs


async def test_every_column_of_bytes_is_either_renewed_or_said_not_to_be_encrypted(admin_sql: SQL) -> None:
    there = {row["name"] for row in await admin_sql(BYTES)}
    known = {column.name for column in ENCRYPTED}
    assert known <= there
    assert there - known == NOT_ENCRYPTED, "renew it too, or say here that it is not encrypted"


def test_what_another_secret_wrote_is_not_current(settings: Settings, before: str, keys_after: Keys) -> None:
    both = Keys(with_secrets(settings, NEXT, before))
    assert both.is_current(keys_after.encrypt("x"))
    assert not both.is_current(Keys(settings).encrypt("x"))
    with pytest.raises(SignatureInvalid):
        Keys(with_secrets(settings, NEXT)).decrypt(Keys(settings).encrypt("x"))
