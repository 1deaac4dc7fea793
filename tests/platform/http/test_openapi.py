"""The document tells what the handlers and the middleware do, of every route."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from wapsi.http.overload import HEALTH_PATHS
from wapsi.http.problems import PROBLEM_JSON


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_error_is_a_problem_and_nothing_else(document: dict[str, Any]) -> None:
    seen = 0
    for label, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status >= "400" and not label.endswith(tuple(HEALTH_PATHS)):
                assert list(answer["content"]) == [PROBLEM_JSON], (label, status)
                assert answer["content"][PROBLEM_JSON]["schema"]["$ref"].endswith("/Problem"), (label, status)
                seen += 1
    assert seen > 100
    assert "HTTPValidationError" not in str(document)


def test_what_middleware_may_answer_is_there_too(document: dict[str, Any]) -> None:
    bodies = 0
    for label, operation in operations(document):
        if label.endswith(tuple(HEALTH_PATHS)):
            continue
        assert "503" in operation["responses"], label
        if "requestBody" in operation:
            bodies += 1
            assert {"400", "413"} <= set(operation["responses"]), label
    assert bodies > 10


def test_an_idempotency_key_is_required_where_there_is_one(document: dict[str, Any]) -> None:
    keys = 0
    for label, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            if parameter["name"].lower() == "idempotency-key":
                keys += 1
                assert parameter["required"], label
                assert parameter["schema"]["minLength"] == 1, label
                assert parameter["schema"]["maxLength"] >= 100, label
    assert keys > 5


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """One that does not makes generators of clients fail, and the fuzz leave the route out."""
    seen = 0
    for where in references(document):
        found: Any = document
        for name in where.removeprefix("#/").split("/"):
            assert name in found, where
            found = found[name]
        seen += 1
    assert seen > 100


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for entry in value.values():
            yield from references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)
