"""`wapsi doctor`: checks the configuration and what it points to, and says in words what is wrong."""

import asyncio
import base64
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from wapsi.cli.settings import settings_problems
from wapsi.config import Environment, Settings
from wapsi.db import Database
from wapsi.db.engine import PoolBudgetExceeded
from wapsi.migrations.grants import APP_ROLE
from wapsi.migrations.run import current_revision, head_revision
from wapsi.queue.broker import QueueProbe

_TIMEOUT_S = 6.0
_MIN_FREE_BYTES = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is None where all is well."""

    subject: str
    says: str
    remedy: str | None = None


def command() -> None:
    """Check the configuration and what it points to."""
    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        findings = [Finding("settings", line, "Set it in the environment.") for line in settings_problems(error)]
    else:
        findings = asyncio.run(examine(settings))
    table = Table(show_header=True, header_style="bold", box=None, pad_edge=False)
    for column in ("", "what", "finding", "what to do"):
        table.add_column(column)
    for finding in findings:
        mark = "[green]✓[/green]" if finding.remedy is None else "[red]✗[/red]"
        # Escaped: what a server says may hold square brackets.
        table.add_row(mark, finding.subject, escape(finding.says), escape(finding.remedy or ""))
    Console().print(table)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


async def examine(settings: Settings) -> list[Finding]:
    """All findings, good and bad."""
    db = Database(settings, role="doctor")
    try:
        found = [*await _about_database(db), await _queue(settings)]
    finally:
        await db.dispose()
    return [_keys(settings), _ports(settings), _disk(), _environment(settings), *found]


async def _about_database(db: Database) -> list[Finding]:
    """Ends with the first question that gets no answer: the others would get none either."""
    checks: dict[str, Callable[[Database], Awaitable[Finding]]] = {
        "database": _database,
        "schema": _schema,
        "role": _role,
        "pools": _pools,
    }
    findings: list[Finding] = []
    for subject, check in checks.items():
        try:
            findings.append(await asyncio.wait_for(check(db), _TIMEOUT_S))
        except (OSError, DBAPIError, TimeoutError) as error:
            words = str(getattr(error, "orig", error)) or "no answer in time"
            remedy = "Is the server running, and does WAPSI_DATABASE_URL point to it?"
            return [*findings, Finding(subject, words.splitlines()[0], remedy)]
    return findings


async def _database(db: Database) -> Finding:
    async with db.engine.connect() as connection:
        version = (await connection.execute(text("SELECT current_setting('server_version_num')::int"))).scalar_one()
    says = f"PostgreSQL {version // 10000}.{version % 100} answers"
    if version < 180_000:
        return Finding("database", says, "Wapsi needs PostgreSQL 18 or newer (uuidv7).")
    return Finding("database", says)


async def _schema(db: Database) -> Finding:
    head = head_revision()
    async with db.engine.connect() as connection:
        exists = (await connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))).scalar_one()
        current = await connection.run_sync(current_revision) if exists else None
    if current == head:
        return Finding("schema", f"at revision {head}, the newest")
    return Finding("schema", f"at revision {current or 'none'}, the newest is {head}", "Run: wapsi migrate")


async def _role(db: Database) -> Finding:
    async with db.engine.connect() as connection:
        row = (
            await connection.execute(
                text(
                    "SELECT current_user AS name, rolsuper AS super, current_setting('statement_timeout') = '0' OR"
                    " current_setting('idle_in_transaction_session_timeout') = '0' AS endless"
                    " FROM pg_roles WHERE rolname = current_user"
                )
            )
        ).one()
    if row.super:
        return Finding("role", f"connected as superuser {row.name}", f"Use {APP_ROLE}: it cannot alter ledger entries.")
    if row.endless:
        remedy = "ALTER ROLE … SET statement_timeout and idle_in_transaction_session_timeout (docs/deployment.md)."
        return Finding("role", f"connected as {row.name}, whose statements may run for ever", remedy)
    return Finding("role", f"connected as {row.name}")


async def _pools(db: Database) -> Finding:
    try:
        await db.check_pool_budget()
    except PoolBudgetExceeded as error:
        return Finding("pools", str(error), "Lower WAPSI_DATABASE_POOL_SIZE.")
    return Finding("pools", "all processes together fit into the server's connections")


async def _queue(settings: Settings) -> Finding:
    probe = QueueProbe(settings)
    try:
        await probe.ping()
    # Whatever the client raises: the finding is that the queue does not answer.
    except Exception as error:
        return Finding("queue", f"no answer ({error})", "Is the server running, and does WAPSI_QUEUE_URL point to it?")
    finally:
        await probe.aclose()
    return Finding("queue", "answers")


def _keys(settings: Settings) -> Finding:
    remedy = "Make one: python -c 'import os, base64; print(base64.b64encode(os.urandom(32)).decode())'"
    try:
        seed = base64.b64decode(settings.signing_key.get_secret_value(), validate=True)
    except ValueError:  # not base64, or not even ASCII
        return Finding("keys", "WAPSI_SIGNING_KEY is not base64", remedy)
    if len(seed) != 32:
        return Finding("keys", f"WAPSI_SIGNING_KEY has {len(seed)} bytes, not 32", remedy)
    return Finding("keys", "present and well-formed")


def _ports(settings: Settings) -> Finding:
    taken = []
    for name, host, port in (
        ("WAPSI_HTTP_PORT", settings.http_host, settings.http_port),
        ("WAPSI_GRPC_PORT", settings.grpc_host, settings.grpc_port),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                taken.append(f"{port} ({name})")
    # In use is right when wapsi itself is running, so this is said and not counted as a fault.
    says = f"in use: {', '.join(taken)}; by wapsi itself, if it is running" if taken else "free"
    return Finding("ports", says)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    says = f"{free // 1024**2} MiB free here"
    return Finding("disk", says) if free > _MIN_FREE_BYTES else Finding("disk", says, "Free some space.")


def _environment(settings: Settings) -> Finding:
    if settings.environment is not Environment.PRODUCTION and settings.http_host not in ("127.0.0.1", "localhost"):
        return Finding(
            "environment",
            f"{settings.environment}, but it listens on {settings.http_host}",
            "Set WAPSI_ENVIRONMENT=production.",
        )
    return Finding("environment", str(settings.environment))
