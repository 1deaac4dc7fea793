"""Every error answer of the REST API: RFC 9457 problems with a stable `reason`, from the one table in wapsi.errors."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from wapsi.errors import Category, DomainError, FieldViolation
from wapsi.telemetry.redaction import safe_path

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"


class Violation(BaseModel):
    field: str
    description: str


class Problem(BaseModel):
    """RFC 9457. `reason` is stable and meant for programs, `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    reason: str
    request_id: str | None = None
    metadata: dict[str, str] = {}
    violations: list[Violation] = []


def problem(
    request: Request,
    *,
    status: int,
    title: str,
    reason: str,
    detail: str,
    metadata: dict[str, str] | None = None,
    violations: Sequence[FieldViolation] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    body = Problem(
        title=title,
        status=status,
        detail=detail,
        reason=reason,
        request_id=request.scope.get("request_id"),
        metadata=metadata or {},
        violations=[Violation(field=v.field, description=v.description) for v in violations],
    )
    return Response(body.model_dump_json(), status_code=status, headers=headers, media_type=PROBLEM_JSON)


async def domain_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    category = error.category
    if category is Category.UNAVAILABLE:
        # Known and passing: a warning and a counter, nobody is woken.
        log.warning("dependency_unavailable", reason=error.reason, cause=repr(error.__cause__))
    headers = {}
    if category is Category.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    if category in (Category.UNAVAILABLE, Category.EXHAUSTED):
        headers["Retry-After"] = str(getattr(error, "retry_after_s", 1))
    return problem(
        request,
        status=category.http_status,
        title=category.title,
        reason=error.reason,
        detail=error.message,
        metadata=error.metadata,
        violations=error.violations,
        headers=headers,
    )


async def _invalid_request(request: Request, error: Exception) -> Response:
    """Says where and why, and never repeats the input: it may be a password."""
    assert isinstance(error, RequestValidationError)
    violations = [
        FieldViolation(".".join(str(part) for part in item["loc"]), _words_of(item)) for item in error.errors()
    ]
    return problem(
        request,
        status=Category.INVALID.http_status,
        title=Category.INVALID.title,
        reason="REQUEST_INVALID",
        detail="; ".join(f"{v.field}: {v.description}" for v in violations[:5]),
        violations=violations,
    )


def _words_of(item: Mapping[str, Any]) -> str:
    if item["type"] == "union_tag_invalid":  # pydantic's words repeat the input
        return f"must be one of {item['ctx']['expected_tags']}"
    return str(item["msg"])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, DomainError):
        # FastAPI makes a 400 of whatever is raised while it reads a body, wapsi.http.bodies' refusals too.
        return await domain_problem(request, error.__cause__)
    reasons = {404: "ROUTE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return problem(
        request,
        status=error.status_code,
        title=error.detail,
        reason=reasons.get(error.status_code, "HTTP_ERROR"),
        detail=f"{request.method} {request.url.path}: {error.detail}",
        headers=headers,
    )


def _allowed_methods(request: Request) -> list[str]:
    """Of all routes with this path; Starlette names those of the first one only."""
    allowed: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(request.scope["path"]):
            allowed |= route.methods or set()
    return sorted(allowed)


async def unexpected_problem(request: Request, error: Exception) -> Response:
    """Of a crash: what it was is in the log."""
    log.error("request_failed", exc_info=error, path=safe_path(request.url.path))
    return problem(
        request,
        status=500,
        title="Something went wrong on our side",
        reason="INTERNAL",
        detail="The error was recorded. Quote the request_id when you report it.",
    )


def install_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(DomainError, domain_problem)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, unexpected_problem)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses=`: documents that these statuses answer with a Problem."""
    return {status: {"model": Problem, "content": {PROBLEM_JSON: {}}, "description": "Problem"} for status in statuses}
