"""A request's id and its line in the access log."""

import random
import re

import structlog
from opentelemetry import trace
from starlette.types import Scope

log = structlog.get_logger(__name__)

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def header_of(scope: Scope, name: bytes) -> str:
    """The first of this name, "" where there is none. Starlette's Headers take ten times as long."""
    for given, value in scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return ""


def request_id_of(scope: Scope) -> str:
    """The caller's X-Request-ID when it is harmless, else a new one; every log line and answer has it."""
    given = header_of(scope, b"x-request-id")
    if given and ACCEPTABLE_ID.fullmatch(given):
        return given
    # Random, but no secret: what the system gives for secrets takes a call of it.
    return f"{random.getrandbits(128):032x}"


class AccessLog:
    """One line a request, without its query string or body.

    A line costs as much as the request of a small page. Where `sample`, GETs that succeed in time have theirs only if
    their trace is sampled; what fails, is slow or writes always has.
    """

    def __init__(self, *, sample: bool = False, slow_s: float = 0.5) -> None:
        self._sample = sample
        self._slow_s = slow_s

    def note(self, scope: Scope, status: int, duration_s: float) -> None:
        if self._sample and not self._is_wanted(scope["method"], status, duration_s):
            return
        log.info(
            "http_request",
            method=scope["method"],
            # The route, not the path: click tokens are in paths.
            route=getattr(scope.get("route"), "path", None) or "unmatched",
            status=status,
            latency_ms=round(duration_s * 1000, 1),
        )

    def _is_wanted(self, method: str, status: int, duration_s: float) -> bool:
        if method not in ("GET", "HEAD") or status >= 400 or duration_s >= self._slow_s:
            return True
        return trace.get_current_span().get_span_context().trace_flags.sampled
