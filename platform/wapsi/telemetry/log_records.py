"""Logs over OTLP: the event as the record's name, its fields as attributes, beside the lines on stderr.

The SDK's way of a record, through objects of its own that are encoded one field after the other, takes as long as all
else of a small request. Here it is noted as it is, and encoded in the thread that sends it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext

from wapsi.telemetry.redaction import clean

_SEVERITIES = {
    logging.DEBUG: logs_pb2.SEVERITY_NUMBER_DEBUG,
    logging.INFO: logs_pb2.SEVERITY_NUMBER_INFO,
    logging.WARNING: logs_pb2.SEVERITY_NUMBER_WARN,
    logging.ERROR: logs_pb2.SEVERITY_NUMBER_ERROR,
    logging.CRITICAL: logs_pb2.SEVERITY_NUMBER_FATAL,
}
# They are the record's own, not attributes.
_OWN = frozenset({"event", "level", "timestamp", "logger", "trace_id", "span_id", "_record", "_from_structlog"})
# What the exporter itself logs would be exported, and logged again.
_EXPORTERS = ("opentelemetry", "urllib3", "requests")
_PLAIN = frozenset({str, bool, int, float})
# Ids are longer.
_KNOWN_LENGTH_MAX = 30
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1

Send = Callable[[bytes], object]
Value = str | bool | int | float


@dataclass(slots=True)
class _Noted:
    """What was logged, as it was; `name` is "" for what libraries log."""

    at_ns: int
    level: int
    level_name: str
    logger: str
    name: str
    text: str
    fields: Sequence[tuple[str, Value]]
    span: SpanContext


class LogRecords(logging.Handler):
    """Sends in batches, from a thread: an ExportLogsServiceRequest, encoded, by `send`."""

    def __init__(self, resource: Resource, send: Send | None = None) -> None:
        super().__init__()
        # The SDK has no way to send what is encoded already; tests assert that these two work.
        sending = _Sending(resource, send or OTLPLogExporter()._client.export)
        self._processor: Any = BatchLogRecordProcessor(sending)
        self._note: Callable[[Any], None] = self._processor._batch_processor.emit

    def install(self) -> None:
        """Call it after configure_logs, which puts handlers of its own in the place of all others."""
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_EXPORTERS):
            return
        name, fields = "", []
        if isinstance(record.msg, dict):
            name = text = str(record.msg.get("event", ""))
            # What may change before it is sent is put into words now.
            fields = [
                (key, value if type(value) in _PLAIN else str(value))
                for key, value in record.msg.items()
                if key not in _OWN
            ]
        else:
            text = record.getMessage()
        span = trace.get_current_span().get_span_context()
        at_ns = int(record.created * 1e9)
        self._note(_Noted(at_ns, record.levelno, record.levelname, record.name, name, text, fields, span))

    def shutdown(self) -> None:
        logging.getLogger().removeHandler(self)
        self._processor.shutdown()


class _Sending(LogRecordExporter):
    """Encodes what was noted, without what looks personal, and sends it."""

    def __init__(self, resource: Resource, send: Send) -> None:
        self._resource = resource_pb2.Resource(attributes=_attributes(resource.attributes.items()))
        self._send = send

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        by_logger: dict[str, list[logs_pb2.LogRecord]] = {}
        for noted in batch:
            by_logger.setdefault(noted.logger, []).append(_encoded(noted))
        scopes = [
            logs_pb2.ScopeLogs(scope=InstrumentationScope(name=name), log_records=records)
            for name, records in by_logger.items()
        ]
        logs = logs_pb2.ResourceLogs(resource=self._resource, scope_logs=scopes)
        self._send(ExportLogsServiceRequest(resource_logs=[logs]).SerializeToString())
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True

    def shutdown(self) -> None:
        """Nothing of its own is open."""


def _encoded(noted: _Noted) -> logs_pb2.LogRecord:
    span = noted.span
    return logs_pb2.LogRecord(
        time_unix_nano=noted.at_ns,
        observed_time_unix_nano=noted.at_ns,
        severity_number=_SEVERITIES.get(noted.level, logs_pb2.SEVERITY_NUMBER_INFO),
        severity_text=noted.level_name,
        event_name=_text(noted.name),
        body=_value(noted.text),
        attributes=_attributes(noted.fields),
        trace_id=span.trace_id.to_bytes(16, "big") if span.is_valid else b"",
        span_id=span.span_id.to_bytes(8, "big") if span.is_valid else b"",
        flags=span.trace_flags,
    )


def _attributes(fields: Iterable[tuple[str, Any]]) -> list[KeyValue]:
    return [
        _known_attribute(key, value)
        if type(value) is str and len(value) <= _KNOWN_LENGTH_MAX
        else _attribute(key, value)
        for key, value in fields
    ]


def _attribute(key: str, value: Any) -> KeyValue:
    return KeyValue(key=_text(key), value=_value(value))


# Methods, routes and the like.
_known_attribute = lru_cache(1000)(_attribute)


def _value(value: Any) -> AnyValue:
    kind = type(value)
    if kind is bool:
        return AnyValue(bool_value=value)
    if kind is int and _INTEGER_MIN <= value <= _INTEGER_MAX:
        return AnyValue(int_value=value)
    if kind is float:
        return AnyValue(double_value=value)
    return AnyValue(string_value=_text(clean(str(value))))


def _text(text: str) -> str:
    """As it can be encoded: half a character cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
