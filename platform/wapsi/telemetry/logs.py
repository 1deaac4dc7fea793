"""Structured logs: a static event name, identifiers as fields, and the trace id of where it happened."""

import asyncio
import json
import logging
import sys
from io import StringIO
from typing import Any, TextIO

import orjson
import structlog
from opentelemetry import trace

from wapsi.config import Settings
from wapsi.telemetry.redaction import clean

_SAID_BY_OTHERS = ("exception", "cause")


def _add_trace(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def _clean_errors(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What an exception says is not ours: a driver's may hold a whole row."""
    for name in _SAID_BY_OTHERS:
        if name in event:
            event[name] = clean(event[name])
    return event


def _plain_traceback(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    # Not rich's tracebacks: they show local variables, and with them what must not be logged.
    text = StringIO()
    structlog.dev.plain_traceback(text, error)
    stream.write(clean(text.getvalue()))


def _json_of(event: structlog.typing.EventDict, **options: Any) -> str:
    try:
        return orjson.dumps(event, options["default"], orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, UnicodeError):  # integers of more than 64 bits, halves of characters
        return json.dumps(event, **options)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Of a line that structlog has made, without the copy of its record, which takes longer than writing it."""

    def __init__(self, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor) -> None:
        remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=shared, processors=[remove_meta, renderer])
        self._renderer = renderer

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, dict) and hasattr(record, "_logger"):
            return str(self._renderer(record._logger, record.levelname, record.msg.copy()))
        return super().format(record)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Lines(logging.StreamHandler[TextIO]):
    """Writes what is logged in a turn of the event loop at its end: dozens of requests are answered in one, and to
    write a line takes as long as to make it. Warnings, and what threads log, at once."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + self.terminator
        except Exception:
            self.handleError(record)
            return
        self._lines.append(line)
        loop = _running_loop() if record.levelno < logging.WARNING else None
        if loop is None:
            self.flush()
        elif len(self._lines) == 1 or loop is not self._loop:
            # Another loop than the one that was to write them may have ended before it did.
            self._loop = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        self.acquire()
        try:
            if self._lines:
                text, self._lines = "".join(self._lines), []
                self.stream.write(text)
            super().flush()
        finally:
            self.release()


def configure_logs(settings: Settings) -> None:
    """Sends structlog and the standard library's loggers through one pipeline to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _add_trace,
    ]
    renderer: structlog.typing.Processor
    if settings.log_json:
        shared += [structlog.processors.format_exc_info, _clean_errors]
        renderer = structlog.processors.JSONRenderer(_json_of)
    else:
        shared.append(_clean_errors)
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_plain_traceback)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # No line says from which file, thread and process it comes, and to look takes a fifth of its time.
    logging._srcfile = None  # as the manual has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = _Lines()
    handler.setFormatter(_Formatter(shared, renderer))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("uvicorn.access", "dramatiq", "opentelemetry.attributes", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
