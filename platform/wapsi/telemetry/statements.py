"""Statements, timed: spans where the trace is recorded, notes where it may still be kept.

The library for SQLAlchemy's (opentelemetry-instrumentation-sqlalchemy) makes spans before the statement and four
measurements a checkout, whether anyone wants them or not, and its versions say that they do not know SQLAlchemy 2.1.
"""

import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from opentelemetry import trace
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from wapsi.telemetry.tracing import Statement, note_statement

T = TypeVar("T")

_STARTED = "wapsi_started_ns"
_tracer = trace.get_tracer(__name__)


async def noted(running: Awaitable[T], sql: str) -> T:
    """For a statement that goes straight to the driver."""
    started_ns = time.time_ns()
    try:
        result = await running
    except Exception as error:
        name = getattr(error, "sqlstate", None) or type(error).__qualname__
        note_statement(_tracer, Statement(sql, started_ns, time.time_ns(), name))
        raise
    note_statement(_tracer, Statement(sql, started_ns, time.time_ns()))
    return result


def trace_statements(engine: AsyncEngine, tracer: trace.Tracer) -> None:
    """Once an engine."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def before(_connection: Any, _cursor: Any, _sql: str, _parameters: Any, context: Any, _many: bool) -> None:
        context.wapsi_started_ns = time.time_ns()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def after(_connection: Any, _cursor: Any, sql: str, _parameters: Any, context: Any, _many: bool) -> None:
        note_statement(tracer, Statement(sql, context.wapsi_started_ns, time.time_ns()))

    @event.listens_for(engine.sync_engine, "handle_error")
    def failed(exception_context: ExceptionContext) -> None:
        context = exception_context.execution_context
        started_ns = getattr(context, _STARTED, None)
        if started_ns is None or exception_context.statement is None:
            return  # not a statement's: connecting, or the end of a transaction
        error = exception_context.original_exception
        name = getattr(error, "sqlstate", None) or type(error).__qualname__
        note_statement(tracer, Statement(exception_context.statement, started_ns, time.time_ns(), name))
