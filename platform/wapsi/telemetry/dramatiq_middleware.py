"""One span a message, in the trace of whoever enqueued the job.

Stands first in the broker's list, since after_* hooks run in reverse. The context travels in the message's options,
where the relay put it from the jobs table; a message without one starts a trace of its own.
"""

import time
from contextvars import Token
from dataclasses import dataclass
from typing import Any

from dramatiq import Broker
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware
from opentelemetry import context, metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, StatusCode

from wapsi.telemetry import tracing


@dataclass(slots=True)
class _Running:
    span: Span
    token: Token[Context]
    parent: SpanContext
    started_ns: int
    started_s: float


class TraceMessages(Middleware):
    def __init__(self) -> None:
        self._tracer = trace.get_tracer(__name__)
        self._duration = metrics.get_meter(__name__).create_histogram("messaging.process.duration", unit="s")
        self._running: dict[str, _Running] = {}

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        # Context() and not the thread's current one: a worker thread must not inherit the message before.
        parent = propagate.extract(message.options.get("trace_context", {}), context=Context())
        span = self._tracer.start_span(
            f"process {message.queue_name}",
            context=parent,
            kind=trace.SpanKind.CONSUMER,
            attributes=_attributes(message),
        )
        token = context.attach(trace.set_span_in_context(span, parent))
        self._running[message.message_id] = _Running(
            span, token, trace.get_current_span(parent).get_span_context(), time.time_ns(), time.perf_counter()
        )

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        running = self._running.pop(message.message_id, None)
        if running is None:
            return
        if exception is not None:
            running.span.record_exception(exception)
            running.span.set_status(StatusCode.ERROR, type(exception).__name__)
        running.span.end()
        context.detach(running.token)
        duration_s = time.perf_counter() - running.started_s
        self._duration.record(duration_s, _attributes(message))
        if exception is not None and not running.span.get_span_context().trace_flags.sampled:
            _keep(message, running, duration_s, exception)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.after_process_message(broker, message)


def _keep(message: MessageProxy, running: _Running, duration_s: float, exception: BaseException) -> None:
    """What fails is traced whatever its sampling."""
    if tracing.installed is not None:
        tracing.installed.keep(
            tracing.LateSpan(
                name=f"process {message.queue_name}",
                kind=trace.SpanKind.CONSUMER,
                context=running.span.get_span_context(),
                parent=running.parent if running.parent.is_valid else None,
                attributes={**_attributes(message), "error.type": type(exception).__qualname__},
                started_ns=running.started_ns,
                ended_ns=running.started_ns + int(duration_s * 1e9),
                failed=True,
            )
        )


def _attributes(message: MessageProxy) -> dict[str, str]:
    return {
        "messaging.system": "dramatiq",
        "messaging.destination.name": message.queue_name.removesuffix(".DQ"),
        "messaging.operation.type": "process",
        "messaging.operation.name": message.actor_name,
    }
