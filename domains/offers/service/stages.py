"""How long each stage of a sync takes, as a histogram; stages that run in one piece are spans too.

stage (pushed, from its start to its finish), wait (for a worker), parse (of an uploaded file), plan (what would
change), validate (in threads, beside merge), merge (rows written), publish (the commit).
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from opentelemetry import metrics, trace

Stage = Literal["stage", "wait", "parse", "plan", "validate", "merge", "publish"]
_tracer = trace.get_tracer(__name__)
_duration = metrics.get_meter(__name__).create_histogram(
    "wapsi.sync.stage.duration", unit="s", description="One stage of one sync."
)


def record_stage(stage: Stage, duration_s: float) -> None:
    _duration.record(duration_s, {"stage": stage})


@contextlib.contextmanager
def running_stage(stage: Stage) -> Iterator[None]:
    """Recorded where it succeeds."""
    started_s = time.perf_counter()
    with _tracer.start_as_current_span(f"sync {stage}"):
        yield
    record_stage(stage, time.perf_counter() - started_s)
