"""What OpenAPI says of every route, in one place: errors are problems, and keys that have to be sent are required.

Clients are generated from the document, and tests/fuzz holds each answer against it.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from wapsi.http.door import Door
from wapsi.http.overload import HEALTH_PATHS
from wapsi.http.problems import PROBLEM_JSON

Document = dict[str, Any]

_PROBLEM: Document = {
    "description": "Problem",
    "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
# What any route may answer: a text has a NUL; its caller asks too often; it is busy, or what it needs is away.
EVERYWHERE = ("422", "429", "503")
# What a route that reads a body may answer: it is no JSON, or too long.
WITH_BODY = ("400", "413")
_NOT_OURS = "#/components/schemas/HTTPValidationError"


class DocumentedAPI(FastAPI):
    """FastAPI, with a document that tells what its handlers and middleware do, and without its outer layers.

    Those are for telemetry, limits of bodies and crashes, all of which wapsi.http.door sees to.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        layer: Any = super().build_middleware_stack()
        while not isinstance(layer, Door):
            layer = layer.app
        return layer

    def openapi(self) -> Document:
        if self.openapi_schema is None:
            document = super().openapi()
            for path, operation in _operations(document):
                _complete(path, operation)
                _share_definitions(document, operation)
            _drop_unused(document)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _complete(path: str, operation: Document) -> None:
    answers: dict[str, Document] = operation["responses"]
    if path not in HEALTH_PATHS:
        for status in (*EVERYWHERE, *(WITH_BODY if "requestBody" in operation else ())):
            answers.setdefault(status, _PROBLEM)
    for status, answer in answers.items():
        if status >= "400" and _is_problem(answer):
            answers[status] = _PROBLEM
    for parameter in operation.get("parameters", ()):
        if parameter["name"].lower() == "idempotency-key":
            # Optional to FastAPI, so that its absence has a reason of its own.
            limit = next(iter(parameter["schema"].get("anyOf", ({},)))).get("maxLength")
            parameter["required"] = True
            parameter["schema"] = {"type": "string", "minLength": 1, "maxLength": limit}


def _share_definitions(document: Document, operation: Document) -> None:
    """A body that a route describes by itself brings its parts along, to where its references do not lead."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = dict(content.get("schema", {}))
        if parts := schema.pop("$defs", None):
            content["schema"] = _led(schema)
            document.setdefault("components", {}).setdefault("schemas", {}).update(_led(parts))


def _led(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _led(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_led(value) for value in schema]
    return schema.replace("#/$defs/", "#/components/schemas/") if isinstance(schema, str) else schema


def _is_problem(answer: Document) -> bool:
    content = answer.get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return PROBLEM_JSON in content or schema.get("$ref") == _NOT_OURS


def _drop_unused(document: Document) -> None:
    """FastAPI's own shape of a refusal, which nothing of ours answers with."""
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
