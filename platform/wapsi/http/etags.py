"""ETag and 304: an answer that the caller already has is not sent again."""

import hashlib

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response


def answer_with_etag(request: Request, answer: BaseModel | bytes) -> Response:
    """JSON with its ETag, or 304 where If-None-Match names it."""
    body = answer if isinstance(answer, bytes) else answer.model_dump_json().encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    # no-cache: keep it, but ask before using it.
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
