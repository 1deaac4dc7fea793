"""Upgrading and downgrading, and the application's role in the database server."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from wapsi.db.engine import unreachable_in_words
from wapsi.migrations.grants import APP_ROLE

# On the role and not in the session: they hold behind a transaction pooler too.
ROLE_TIMEOUTS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    """None in a database that was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


async def upgrade(url: str, revision: str = "head") -> tuple[str | None, str | None]:
    """Makes the application's role where it is missing, then migrates. Returns the revisions before and after."""
    return await _run(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str) -> tuple[str | None, str | None]:
    return await _run(url, lambda config: command.downgrade(config, revision))


async def _run(url: str, step: Callable[[Config], None]) -> tuple[str | None, str | None]:
    engine = create_async_engine(url, poolclass=NullPool)
    unreachable_in_words(engine)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_ensure_role)
            await connection.commit()
            before = await connection.run_sync(current_revision)
            await connection.commit()
            await connection.run_sync(lambda sync: step(_config(sync)))
            # So that `wapsi doctor`, as the application, can say whether the schema is behind.
            await connection.execute(text(f"GRANT SELECT ON alembic_version TO {APP_ROLE}"))
            await connection.commit()
            return before, await connection.run_sync(current_revision)
    finally:
        await engine.dispose()


def _ensure_role(connection: Connection) -> None:
    exists = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": APP_ROLE})
    if not exists:
        connection.execute(text(f"CREATE ROLE {APP_ROLE} LOGIN"))
        for setting, value in ROLE_TIMEOUTS.items():
            connection.execute(text(f"ALTER ROLE {APP_ROLE} SET {setting} = '{value}'"))
