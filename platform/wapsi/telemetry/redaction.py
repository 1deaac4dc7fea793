"""What must not leave the process in a span or a log record: queries, tokens in paths, addresses, keys and more."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

REDACTED = "REDACTED"
# Behind these stand tokens: one leads on a customer's behalf, the other speaks for a network.
_TOKEN_PATH = re.compile(r"(/r/|/v1/postbacks/[^/]+/).+", re.DOTALL)
_PERSONAL = re.compile(
    r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+"  # e-mail
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a signed token
    r"|(?i:\b(?:bearer|token|password|secret)[=: ]+)[^\s,;&\"']+"
    r"|\+\d[\d ()-]{7,17}\d\b"  # phone, international
    r"|\b0?3\d{2}[ -]?\d{7}\b"  # phone, Pakistani mobile
    r"|\b[A-Z]{2}\d{2}[ ]?(?:[A-Z0-9]{4}[ ]?){3,7}[A-Z0-9]{1,4}\b"  # IBAN
)
# Our own words, routes and ids, in which none of those can be: most values are of this kind, and are told in a tenth of
# the time.
_OURS = re.compile(r"(?:/v1)?[a-z_/{}.-]*|[0-9a-f]{32}")
# PostgreSQL names the row that broke a constraint, with all that is in it: up to what SQLAlchemy or a traceback says
# next.
_ROW = re.compile(r"(?s)(DETAIL: +).*?(?=(?:\n|\\n)(?:HINT|CONTEXT|\[SQL|\n|The above|Traceback|[ +|]*File )|\Z)")
# Statements are ours, with parameters in the place of values; ids and times would only be mistaken.
_KEPT = frozenset({"db.query.text", "db.namespace"})


def safe_path(path: str) -> str:
    # Most paths are told from those by a look; one that was put together badly may have them further on.
    if not path.startswith("/r/") and "/postbacks/" not in path:
        return path
    return _TOKEN_PATH.sub(rf"\1{REDACTED}", path)


def clean(value: Any) -> Any:
    """The value with what looks personal or secret put out; strings, and strings in lists."""
    if isinstance(value, str):
        if _OURS.fullmatch(value):
            return value
        return _PERSONAL.sub(REDACTED, _ROW.sub(rf"\1{REDACTED}", value) if "DETAIL:" in value else value)
    if isinstance(value, tuple | list):
        return [clean(item) for item in value]
    return value


def cleaned(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value if name in _KEPT else clean(value) for name, value in (attributes or {}).items()}


class RedactQueries(SpanProcessor):
    """Libraries record query strings as they come; they carry tokens and search terms."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        attributes = span.attributes
        if not attributes:
            return
        if attributes.get("url.query"):
            span.set_attribute("url.query", REDACTED)
        path = attributes.get("url.path")
        if isinstance(path, str) and safe_path(path) != path:
            span.set_attribute("url.path", safe_path(path))


class Redacting(SpanExporter):
    """Hands spans on without what looks personal, whatever put it into them. Runs where spans are sent, in batches."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_without_personal(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _without_personal(span: ReadableSpan) -> ReadableSpan:
    status = span.status
    if status.description:
        status = Status(status.status_code, clean(status.description))
    return ReadableSpan(
        name=clean(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=cleaned(span.attributes),
        events=[Event(event.name, cleaned(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
