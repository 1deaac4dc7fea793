"""Logs over OTLP: the event as the record's name, its fields as attributes, beside the lines on stderr."""

import logging
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource

from wapsi.telemetry.redaction import clean

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
# They are the record's own, not attributes.
_OWN = frozenset({"event", "level", "timestamp", "logger", "trace_id", "span_id", "_record", "_from_structlog"})
# What the exporter itself logs would be exported, and logged again.
_EXPORTERS = ("opentelemetry", "urllib3", "requests")


class LogRecords(logging.Handler):
    """Sends in batches, from a thread."""

    def __init__(self, resource: Resource, exporter: LogRecordExporter | None = None) -> None:
        super().__init__()
        self._provider = LoggerProvider(resource=resource)
        self._provider.add_log_record_processor(BatchLogRecordProcessor(exporter or OTLPLogExporter()))

    def install(self) -> None:
        """Call it after configure_logs, which puts handlers of its own in the place of all others."""
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_EXPORTERS):
            return
        fields: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        event = str(fields.get("event", ""))
        self._provider.get_logger(record.name).emit(
            timestamp=int(record.created * 1e9),
            severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.INFO),
            severity_text=record.levelname,
            event_name=event if isinstance(record.msg, dict) else None,
            body=clean(event),
            attributes={name: _plain(value) for name, value in fields.items() if name not in _OWN},
        )

    def shutdown(self) -> None:
        logging.getLogger().removeHandler(self)
        self._provider.shutdown()


def _plain(value: Any) -> str | bool | int | float:
    if isinstance(value, bool | int | float):
        return value
    return str(clean(str(value)))
