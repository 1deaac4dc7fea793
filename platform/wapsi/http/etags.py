"""ETag and 304: an answer that the caller already has is not sent again."""

import hashlib
from typing import Any

import orjson
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from wapsi.http.answers import JSONAnswer
from wapsi.http.middleware import header_of

# Browsers ask each time; a CDN may answer for a second by itself, and while it asks; and for a minute when we cannot.
PUBLIC = "public, max-age=0, s-maxage=1, stale-while-revalidate=1, stale-if-error=60"
# Keep it, but ask before using it.
PRIVATE = "private, no-cache"
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "As named by If-None-Match."}}


def answer_with_etag(request: Request, answer: BaseModel | bytes, *, public: bool = False) -> Response:
    """JSON with its ETag, or 304 where If-None-Match names it. `public`: the same for every caller."""
    body = answer if isinstance(answer, bytes) else answer.model_dump_json().encode()
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    control = PUBLIC if public else PRIVATE
    given = header_of(request.scope, b"if-none-match")
    known = {tag.strip().removeprefix("W/") for tag in given.split(",")} if given else ()
    if etag in known or "*" in known:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": control})
    return JSONAnswer(body, headers=[(b"etag", etag.encode()), (b"cache-control", control.encode())])


def encode(answer: Any) -> bytes:
    """JSON of our own plain values. They need no validation, which would take longer than the query."""
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)
