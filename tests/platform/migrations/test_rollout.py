"""A migration runs while the release before it serves: it takes no lock for long, and takes nothing away."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event

from tests.platform.migrations.releases import PREVIOUS_REVISION
from wapsi.config import Settings
from wapsi.migrations import run as migrations

SQUAWK = Path(sys.executable).with_name("squawk")
# Rules that say nothing to us, whatever the migration.
RULES_LEFT_OUT = {
    "prefer-bigint-over-int": "counts and positions that never come near two thousand million",
    "prefer-bigint-over-smallint": "the same",
    "prefer-text-field": "alembic's own table",
    "ban-concurrent-index-creation-in-transaction": "PostgreSQL refuses that itself, and every step is run here",
    "require-statement-timeout": "what a migration must not hold for long is a lock, which has its limit; an index of "
    "millions of rows may take its time",
}
_BEFORE_RELEASE = "before the first release: nothing ran on the schema before it"
# What a migration does in spite of a rule, and why it may: {revision: {rule: why}}.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "0006": {
        "ban-drop-constraint": _BEFORE_RELEASE,
        "constraint-missing-not-valid": _BEFORE_RELEASE,
        "prefer-robust-stmts": "an index that is made concurrently, outside of a transaction",
    },
    "0008": {"ban-drop-table": _BEFORE_RELEASE},
    "0009": {"ban-drop-constraint": _BEFORE_RELEASE, "ban-drop-function": _BEFORE_RELEASE},
    "0011": {
        "constraint-missing-not-valid": "they are validated after the commit, which the text does not show",
        "prefer-robust-stmts": "an index that is made concurrently, outside of a transaction",
        "ban-drop-not-null": "the release before makes customers with an e-mail only, and reads none without one",
    },
    "0021": {
        "ban-drop-constraint": "in the same statement a wider one takes its place",
        "constraint-missing-not-valid": "it is validated after the commit, which the text does not show",
    },
    "0019": {"constraint-missing-not-valid": "they are validated after the commit, which the text does not show"},
    "0030": {
        "ban-drop-not-null": "the release before always gives a document, and reads none of a listing without one"
    },
    "0027": {"constraint-missing-not-valid": "they are validated after the commit, which the text does not show"},
    "0033": dict.fromkeys(
        ("ban-drop-constraint", "ban-drop-default", "ban-set-schema", "renaming-table"),
        "offer_documents is newer than the release before, which never asks for it",
    ),
    "0036": dict.fromkeys(
        ("ban-drop-table", "renaming-table", "require-concurrent-partition-detach"),
        "the same; and what is dropped has been copied in the same transaction",
    ),
}


@pytest.fixture
async def empty_database(servers: Any) -> AsyncIterator[str]:
    admin = await asyncpg.connect(servers.database("postgres", "postgres").replace("+asyncpg", ""))
    await admin.execute("DROP DATABASE IF EXISTS step_by_step WITH (FORCE)")
    await admin.execute("CREATE DATABASE step_by_step")
    yield servers.database("step_by_step", "postgres")
    await admin.execute("DROP DATABASE step_by_step WITH (FORCE)")
    await admin.close()


def revisions() -> list[str]:
    """The oldest first."""
    walked = ScriptDirectory.from_config(migrations._config()).walk_revisions()
    return [script.revision for script in walked][::-1]


@contextmanager
def listening() -> Iterator[list[str]]:
    """What is said to the database, in order."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement.strip().rstrip(";"))

    event.listen(Engine, "before_cursor_execute", note)
    yield said
    event.remove(Engine, "before_cursor_execute", note)


def complaints(files: list[Path]) -> set[tuple[str, str]]:
    """{(file's stem, rule)} of what squawk has to say, without the rules that are left out."""
    options = ["--pg-version=18.0", "--assume-in-transaction", "--reporter=json"]
    options += [f"--exclude={','.join(RULES_LEFT_OUT)}"]
    done = subprocess.run([SQUAWK, *options, *files], capture_output=True, text=True, timeout=60, check=False)
    return {(Path(found["file"]).stem, found["rule_name"]) for found in json.loads(done.stdout or "[]")}


async def test_squawk_finds_only_what_is_stated(empty_database: str, tmp_path: Path) -> None:
    """What is really executed, step by step, as the lock timeout before it."""
    files = []
    for revision in await asyncio.to_thread(revisions):
        with listening() as said:
            await migrations.upgrade(empty_database, revision)
        text = ";\n".join(statement for statement in said if "alembic_version" not in statement) + ";\n"
        assert "SET lock_timeout" in text
        files.append(tmp_path / f"{revision}.sql")
        await asyncio.to_thread(files[-1].write_text, text)
    assert len(files) >= 10
    found = await asyncio.to_thread(complaints, files)
    assert found == {(revision, rule) for revision, rules in EXCEPTIONS.items() for rule in rules}


def test_squawk_would_find_a_lock_that_is_held_for_long(tmp_path: Path) -> None:
    bad = tmp_path / "bad.sql"
    bad.write_text(
        "ALTER TABLE offers ADD CONSTRAINT positive CHECK (price_minor > 0);\nCREATE INDEX a ON offers (b);\n"
    )
    assert {rule for _file, rule in complaints([bad])} >= {
        "constraint-missing-not-valid",
        "require-lock-timeout",
        "require-concurrent-index-creation",
    }


# What the code before this release counts on, by name: with {"what": "how it is"}.
_PROMISES = """
SELECT 'column ' || c.table_name || '.' || c.column_name AS name, c.data_type AS how
FROM information_schema.columns AS c JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
UNION ALL
SELECT 'grant ' || acl.privilege_type || ' on ' || r.relname, ''
FROM pg_class AS r, aclexplode(r.relacl) AS acl
WHERE r.relnamespace = 'public'::regnamespace AND acl.grantee = 'wapsi_app'::regrole
UNION ALL
SELECT 'unique ' || indrelid::regclass || ' (' || (
    SELECT string_agg(attname, ', ' ORDER BY attname) FROM pg_attribute
    WHERE attrelid = i.indrelid AND attnum = ANY (i.indkey)
) || ')', ''
FROM pg_index AS i JOIN pg_class AS r ON r.oid = i.indrelid
WHERE indisunique AND r.relnamespace = 'public'::regnamespace AND NOT r.relispartition
UNION ALL
SELECT 'function ' || p.oid::regprocedure, pg_get_function_result(p.oid)
FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
"""
# Columns that a row must be given, and that have no value of their own.
_DEMANDS = """
SELECT a.attrelid::regclass || '.' || a.attname AS name FROM pg_attribute AS a JOIN pg_class AS r ON r.oid = a.attrelid
WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
"""


async def promises(own_sql: Any) -> dict[str, str]:
    return {row["name"]: row["how"] or "" for row in await own_sql(_PROMISES)}


async def demands(own_sql: Any) -> set[str]:
    return {row["name"] for row in await own_sql(_DEMANDS)}


async def test_what_the_release_before_counts_on_is_still_there(own_settings: Settings, own_sql: Any) -> None:
    """Tables, columns, types, grants, what upserts go by, and functions. What is not used any more goes a release
    later than the code that used it."""
    await migrations.downgrade(own_settings.migration_url, PREVIOUS_REVISION)
    before = await promises(own_sql)
    demanded = await demands(own_sql)
    assert len(before) > 300
    await migrations.upgrade(own_settings.migration_url)
    after = await promises(own_sql)
    assert {name: how for name, how in before.items() if after.get(name) != how} == {}
    old_tables = {name.removeprefix("column ").partition(".")[0] for name in before if name.startswith("column ")}
    new = await demands(own_sql) - demanded
    assert {name for name in new if name.partition(".")[0] in old_tables} == set(), "old code does not give them"


@pytest.mark.parametrize(
    "step",
    [
        "ALTER TABLE merchants DROP COLUMN description",
        "ALTER TABLE jobs ALTER COLUMN attempt TYPE bigint",
        "REVOKE DELETE ON jobs FROM wapsi_app",
        "ALTER TABLE jobs DROP CONSTRAINT uq_jobs_dedupe_key",
        "ALTER TABLE merchants ADD motto text NOT NULL",
    ],
)
async def test_a_step_that_takes_something_away_would_be_found(own_sql: Any, step: str) -> None:
    before, demanded = await promises(own_sql), await demands(own_sql)
    await own_sql(step)
    after = await promises(own_sql)
    assert any(after.get(name) != how for name, how in before.items()) or await demands(own_sql) - demanded
