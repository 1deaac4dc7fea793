"""How long each stage of a sync takes: a span and a histogram for parse, plan, merge and publish."""

import contextlib
import time
from collections.abc import Iterator

from opentelemetry import metrics, trace

_tracer = trace.get_tracer(__name__)
_duration = metrics.get_meter(__name__).create_histogram(
    "wapsi.sync.stage.duration", unit="s", description="One stage of one sync."
)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    started_s = time.perf_counter()
    with _tracer.start_as_current_span(f"sync {name}"):
        yield
    _duration.record(time.perf_counter() - started_s, {"stage": name})
