"""Problems that are answered before the application is asked: by hand, as they have to cost next to nothing."""

from collections.abc import Mapping, Sequence

import orjson
from starlette.types import Scope, Send

from wapsi.errors import Category
from wapsi.http.problems import PROBLEM_JSON


async def refuse(
    scope: Scope,
    send: Send,
    category: Category,
    reason: str,
    detail: str,
    *,
    metadata: Mapping[str, str] | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    body = orjson.dumps(
        {
            "type": "about:blank",
            "title": category.title,
            "status": category.http_status,
            "detail": detail,
            "reason": reason,
            "metadata": metadata or {},
            "violations": [],
            "request_id": scope.get("request_id"),
        }
    )
    start_headers = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": category.http_status, "headers": start_headers})
    await send({"type": "http.response.body", "body": body})
