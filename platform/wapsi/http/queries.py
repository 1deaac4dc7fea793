"""Query parameters as one model, validated at once.

FastAPI looks at each parameter by itself, which takes longer than the query of a listing; this is for the reads that
are asked for most. OpenAPI and the errors are as FastAPI's own.
"""

from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def read_query(request: Request, model: type[Model]) -> Model:
    """Of a parameter that is repeated, the last one counts. Raises RequestValidationError."""
    try:
        # As Starlette reads it, which makes two objects of its own of it.
        return model.model_validate(dict(parse_qsl(request.scope["query_string"].decode("latin-1"), True)))
    except ValidationError as error:
        faults = [{**fault, "loc": ("query", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None


def query_parameters(model: type[BaseModel]) -> dict[str, Any]:
    """For a route's `openapi_extra`."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    required = schema.get("required", [])
    parameters = []
    for name, given in schema["properties"].items():
        field = {**definitions[given["$ref"].rpartition("/")[2]], **given} if "$ref" in given else dict(given)
        field.pop("$ref", None)
        parameter = {"name": name, "in": "query", "required": name in required, "schema": field}
        if "description" in field and "$ref" not in given:
            parameter["description"] = field["description"]
        parameters.append(parameter)
    return {"parameters": parameters}
