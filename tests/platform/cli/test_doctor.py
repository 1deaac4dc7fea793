"""`wapsi doctor` finds what is wrong, says it in words, and repeats no secret."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from typer.testing import Result

from wapsi.config import Settings
from wapsi.migrations import run as migrations

Run = Callable[..., Result]
Environment = dict[str, str]
NOWHERE = "postgresql+asyncpg://wapsi_app@/wapsi?host=/nowhere"
PASSWORD = "pa55word-of-the-database"


def findings(result: Result) -> dict[str, tuple[str, str]]:
    """What was found about each subject: a mark and the words."""
    found = {}
    for line in result.output.splitlines():
        mark, _, rest = line.strip().partition(" ")
        if mark in ("✓", "✗"):
            subject, _, words = rest.strip().partition(" ")
            found[subject] = (mark, " ".join(words.split()))
    return found


def faults(result: Result) -> dict[str, str]:
    return {subject: words for subject, (mark, words) in findings(result).items() if mark == "✗"}


def test_with_nothing_set_each_missing_variable_is_named(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    for name in ("WAPSI_DATABASE_URL", "WAPSI_SECRET_KEY", "WAPSI_SIGNING_KEY"):
        assert f"{name} is not set" in result.output
    assert "WAPSI_QUEUE_URL" not in result.output, "it has a default"


def test_a_good_configuration_has_no_faults(run: Run, environment: Environment) -> None:
    result = run("doctor", **environment)
    assert faults(result) == {}
    assert result.exit_code == 0
    found = findings(result)
    assert found.keys() == {
        "database",
        "schema",
        "role",
        "pools",
        "queue",
        "keys",
        "ports",
        "disk",
        "environment",
    }
    assert found["database"][1].startswith("PostgreSQL 18.")
    assert found["schema"][1] == f"at revision {migrations.head_revision()}, the newest"
    assert found["role"][1] == "connected as wapsi_app"
    assert found["queue"][1] == "answers"


@pytest.mark.parametrize(
    "url",
    [
        NOWHERE,
        "postgresql+asyncpg://wapsi_app@127.0.0.1:1/wapsi",
        "postgresql+asyncpg://wapsi_app@no-such-host.invalid/wapsi",
    ],
    ids=["no socket", "nobody listens", "no such host"],
)
def test_a_database_that_does_not_answer_is_found_and_the_queue_looked_at_all_the_same(
    run: Run, environment: Environment, url: str
) -> None:
    result = run("doctor", **environment | {"WAPSI_DATABASE_URL": url})
    assert result.exit_code == 1
    assert faults(result).keys() == {"database"}
    assert "Is the server running, and does WAPSI_DATABASE_URL point to it?" in faults(result)["database"]
    assert findings(result)["queue"] == ("✓", "answers")


def test_a_database_that_is_not_there_is_said_as_the_server_says_it(
    run: Run, environment: Environment, servers: Any
) -> None:
    url = servers.database("no_such_database")
    result = run("doctor", **environment | {"WAPSI_DATABASE_URL": url})
    assert faults(result).keys() == {"database"}
    assert 'database "no_such_database" does not exist' in faults(result)["database"]


def test_words_of_the_server_are_not_taken_for_markup(run: Run, environment: Environment, servers: Any) -> None:
    url = servers.database("[/red]nothing")
    result = run("doctor", **environment | {"WAPSI_DATABASE_URL": url})
    assert 'database "[/red]nothing" does not exist' in faults(result)["database"]


@pytest.mark.parametrize("port", ["port", "99999999"])
def test_a_url_that_is_none_is_a_finding_and_no_traceback(run: Run, environment: Environment, port: str) -> None:
    url = f"postgresql+asyncpg://wapsi_app:{PASSWORD}@127.0.0.1:{port}/wapsi"
    result = run("doctor", **environment | {"WAPSI_DATABASE_URL": url})
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "WAPSI_DATABASE_URL" in result.output
    assert PASSWORD not in result.output


def test_a_queue_that_does_not_answer_is_found(run: Run, environment: Environment) -> None:
    result = run("doctor", **environment | {"WAPSI_QUEUE_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0"})
    assert result.exit_code == 1
    assert faults(result).keys() == {"queue"}
    assert "WAPSI_QUEUE_URL" in faults(result)["queue"]
    assert PASSWORD not in result.output


@pytest.mark.parametrize(("target", "at"), [("-1", None), ("base", "none")])
async def test_a_schema_that_is_behind_is_found(
    run: Run, environment: Environment, own_settings: Settings, target: str, at: str | None
) -> None:
    _, revision = await migrations.downgrade(own_settings.migration_url, target)
    result = await asyncio.to_thread(run, "doctor", **environment | {"WAPSI_DATABASE_URL": own_settings.database_url})
    assert result.exit_code == 1
    words = faults(result)["schema"]
    assert words.startswith(f"at revision {at or revision}, the newest is {migrations.head_revision()}")
    assert "Run: wapsi migrate" in words


def test_connecting_as_superuser_is_found(run: Run, environment: Environment) -> None:
    superuser = environment["WAPSI_DATABASE_MIGRATION_URL"]
    result = run("doctor", **environment | {"WAPSI_DATABASE_URL": superuser})
    assert result.exit_code == 1
    assert faults(result).keys() == {"role"}
    assert "connected as superuser postgres" in faults(result)["role"]
    assert "Use wapsi_app" in faults(result)["role"]


def test_a_role_whose_statements_never_time_out_is_found(run: Run, environment: Environment) -> None:
    superuser = environment["WAPSI_DATABASE_MIGRATION_URL"].replace("+asyncpg", "")

    async def alter(change: str) -> None:
        connection = await asyncpg.connect(superuser)
        database = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER ROLE wapsi_app IN DATABASE {database} {change}")
        await connection.close()

    asyncio.run(alter("SET statement_timeout = 0"))
    try:
        result = run("doctor", **environment)
    finally:
        asyncio.run(alter("RESET statement_timeout"))
    assert result.exit_code == 1
    assert "may run for ever" in faults(result)["role"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("not base64 at all!", "WAPSI_SIGNING_KEY is not base64"),
        ("é" * 44, "WAPSI_SIGNING_KEY is not base64"),
        (base64.b64encode(b"too short").decode(), "WAPSI_SIGNING_KEY has 9 bytes, not 32"),
    ],
)
def test_a_signing_key_that_is_none_is_found(run: Run, environment: Environment, key: str, words: str) -> None:
    result = run("doctor", **environment | {"WAPSI_SIGNING_KEY": key})
    assert result.exit_code == 1
    assert faults(result).keys() == {"keys"}
    assert faults(result)["keys"].startswith(words)
    assert key not in result.output


def test_pools_that_exceed_the_server_are_found(run: Run, environment: Environment) -> None:
    result = run("doctor", **environment | {"WAPSI_DATABASE_POOL_SIZE": "200", "WAPSI_DATABASE_PROCESSES": "20"})
    assert faults(result).keys() == {"pools"}
    assert "4120 connections" in faults(result)["pools"]


def test_listening_to_the_world_outside_of_production_is_found(run: Run, environment: Environment) -> None:
    result = run("doctor", **environment | {"WAPSI_HTTP_HOST": "0.0.0.0"})
    assert faults(result).keys() == {"environment"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WAPSI_DATABASE_URL", f"mysql://root:{PASSWORD}@db/wapsi", "must begin with postgresql+asyncpg://"),
        ("WAPSI_QUEUE_URL", f"amqp://root:{PASSWORD}@queue", "must begin with redis://"),
        ("WAPSI_SECRET_KEY", "short-pa55word", "must have at least 32 characters"),
        ("WAPSI_DATABASE_POOL_SIZE", "many", "valid integer"),
        ("WAPSI_ENVIRONMENT", "staging", "'development', 'test' or 'production'"),
        ("WAPSI_CORS_ORIGINS", "not-a-list-of-origins", "must each begin with https:// or http://"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_its_value_not_repeated(
    run: Run, environment: Environment, name: str, value: str, words: str
) -> None:
    result = run("doctor", **environment | {name: value})
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert name in result.output
    assert words in result.output
    assert value not in result.output


def test_production_must_be_reached_over_tls(run: Run, environment: Environment) -> None:
    plain = {"WAPSI_ENVIRONMENT": "production", "WAPSI_PUBLIC_URL": "http://api.wapsi.example"}
    result = run("doctor", **environment | plain)
    assert result.exit_code == 1
    assert "public_url must begin with https:// in production" in result.output


def test_secrets_are_never_printed(run: Run, environment: Environment, servers: Any) -> None:
    """Whatever is wrong: nothing, the database, its password."""
    good = environment["WAPSI_DATABASE_URL"]
    with_password = good.replace("wapsi_app@", f"wapsi_app:{PASSWORD}@").replace("wapsi_app:@", "wapsi_app@")
    for url in (good, with_password, with_password.replace("worker_", "no_such_worker_"), NOWHERE):
        output = run("doctor", **environment | {"WAPSI_DATABASE_URL": url}).output
        for secret in (PASSWORD, environment["WAPSI_SECRET_KEY"], environment["WAPSI_SIGNING_KEY"]):
            assert secret not in output
