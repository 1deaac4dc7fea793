"""Good requests with a little of them changed: what gets past the first checks, and is wrong further in, or is not."""

import copy
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from tests.fuzz.recipes import Good

Json = dict[str, Any]
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 10**6, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 0.1, -0.0, 1e308),
    *("", " ", "0", "-1", "null", "é", "کرتا", "\u200f", "\ufeff", "a\0b", "%00", "../..", "' OR 1=1 --", "x" * 3000),
    *("2026-02-30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00", "PKR", "USD", "shop"),
    *("other-shop", "impact", "00000000-0000-0000-0000-000000000000", "https://shop.example/1", "http://127.0.0.1/"),
    *([], {}, [None], [[]], {"": ""}, ["a"] * 300, {"a": {"b": [1]}}),
)
# The ways of changing one; a body is changed more often than the rest.
_WAYS = ("body", "body", "body", "body", "path", "query", "query", "headers", "bytes")


class Changes:
    """By the document: which parameters a route has, and what a body could hold beside what a good one holds."""

    def __init__(self, document: Json, seed: int) -> None:
        self._document = document
        self._random = random.Random(seed)

    def of(self, label: str, good: Good, others: Mapping[str, Sequence[str]]) -> Good:
        """Changed in one place, or in a few. `others`: values that path parameters had before, by name."""
        changed = replace(good, path=dict(good.path), query=dict(good.query), headers={}, body=copy.deepcopy(good.body))
        operation = self._operation(label)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            self._change(changed, operation, others)
        return changed

    def _change(self, request: Good, operation: Json, others: Mapping[str, Sequence[str]]) -> None:
        draw = self._random
        way = draw.choice(_WAYS)
        if way == "body" and request.body is not None:
            request.body = self._body(request.body, self._body_schema(operation))
        elif way == "bytes" and request.body is not None:
            request.raw, request.body = self._bytes(json.dumps(request.body).encode()), None
        elif way == "bytes" and request.raw is not None:
            request.raw = self._bytes(request.raw)
        elif way == "path" and request.path:
            name = draw.choice(sorted(request.path))
            known = others.get(name, ())
            request.path[name] = draw.choice(known) if known and draw.random() < 0.7 else self._text()
        elif way == "headers":
            request.headers |= {"Idempotency-Key": draw.choice(("", "one for all", uuid4().hex, "x" * 201))}
        elif parameters := [one for one in operation.get("parameters", ()) if one["in"] == "query"]:
            one = draw.choice(parameters)
            request.query[one["name"]] = self._fitting(one["schema"]) if draw.random() < 0.7 else self._text()

    def _operation(self, label: str) -> Json:
        method, path = label.split(" ", 1)
        found: Json = self._document["paths"][path][method.lower()]
        return found

    def _body_schema(self, operation: Json) -> Json:
        content = operation.get("requestBody", {}).get("content", {})
        return self._resolved(content.get("application/json", {}).get("schema", {}))

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _body(self, body: Any, schema: Json) -> Any:
        draw = self._random
        places = list(_places(body))
        absent = [name for name in schema.get("properties", {}) if isinstance(body, dict) and name not in body]
        if absent and draw.random() < 0.4:
            name = draw.choice(absent)
            body[name] = self._fitting(schema["properties"][name])
            return body
        if not places or draw.random() < 0.05:
            return self._odd()
        holder, key = draw.choice(places)
        kind = draw.random()
        if kind < 0.15:
            del holder[key]
        elif kind < 0.2 and isinstance(holder, dict):
            holder[draw.choice(("id", "__proto__", "customer_id", key + "2"))] = self._odd()
        elif kind < 0.4 and isinstance(holder[key], int):
            holder[key] += draw.choice((-1, 1, -holder[key], holder[key], 10**6))
        elif kind < 0.6 and isinstance(holder[key], str):
            holder[key] = draw.choice((holder[key].upper(), holder[key] + " ", holder[key][:-1], holder[key] * 2))
        else:
            holder[key] = self._odd()
        return body

    def _odd(self) -> Any:
        """One of its own: what comes next may change it in place."""
        return copy.deepcopy(self._random.choice(ODD))

    def _fitting(self, schema: Json, depth: int = 3) -> Any:
        """A value that the schema may allow; limits are not looked at."""
        draw, schema = self._random, self._resolved(schema)
        for choice in ("anyOf", "oneOf"):
            if schema.get(choice):
                return self._fitting(draw.choice(schema[choice]), depth)
        if "const" in schema or "enum" in schema:
            return draw.choice(schema.get("enum") or [schema["const"]])
        match schema.get("type"):
            case "integer" | "number":
                return draw.choice((0, 1, 2, 50, 100, 1000, 50_000))
            case "boolean":
                return draw.random() < 0.5
            case "array" if depth:
                return [self._fitting(schema.get("items", {}), depth - 1) for _ in range(draw.choice((0, 1, 2)))]
            case "object" if depth:
                fields = schema.get("properties", {})
                return {name: self._fitting(field, depth - 1) for name, field in fields.items()}
            case "string":
                return self._word(schema)
        return None

    def _word(self, schema: Json) -> str:
        formats = {
            "uuid": (str(uuid4()),),
            "date-time": ("2026-01-01T00:00:00Z", "2027-06-01T12:00:00+05:00"),
            "date": ("2026-01-01",),
            "email": (f"{uuid4().hex}@wapsi.example",),
            "uri": ("https://shop.example/1",),
        }
        words = ("a", "shop", "PKR", "percent", "pending", "looked_at", "https://shop.example/1", "asma@wapsi.example")
        return self._random.choice(formats.get(schema.get("format", ""), words))

    def _text(self) -> str:
        return self._random.choice([str(value) for value in ODD if not isinstance(value, list | dict)])

    def _bytes(self, raw: bytes) -> bytes:
        draw = self._random
        changed = bytearray(raw)
        for _ in range(draw.choice((1, 2, 4))):
            start = draw.randrange(len(changed) + 1)
            changed[start : start + draw.randrange(7)] = draw.randbytes(draw.randrange(7))
        return bytes(changed)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(what holds it, its key) of each value inside."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries):
        yield value, key
        yield from _places(entry)
