"""What is refused of a path, a query and a body, whichever route they are for."""

import re
from typing import ClassVar

from starlette.types import Message, Receive, Scope

from wapsi import strict_json
from wapsi.db.errors import TextInvalid
from wapsi.errors import Category, DomainError, TooLarge
from wapsi.http.middleware import header_of

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class JSONInvalid(DomainError):
    category: ClassVar[Category] = Category.INVALID
    reason = "JSON_INVALID"


class BodyTooLarge(TooLarge):
    reason = "BODY_TOO_LARGE"


def address_fault(scope: Scope) -> tuple[Category, str, str] | None:
    """What `refuse` takes."""
    if "\0" not in scope["path"] and b"%00" not in scope["query_string"]:
        return None
    detail = "The address has a NUL character, which no text may have. Leave it out."
    return TextInvalid.category, TextInvalid.reason, detail


class Bodies:
    """Limits their size, and lets only strict JSON in where it says that it is JSON.

    `unlimited`: paths that limit themselves while a feed streams in. `kept`: paths whose bodies are kept as they are,
    whatever they hold.
    """

    def __init__(self, limit_bytes: int, *, unlimited: re.Pattern[str], kept: re.Pattern[str]) -> None:
        self._limit_bytes = limit_bytes
        self._unlimited = unlimited
        self._kept = kept

    def checked(self, scope: Scope, receive: Receive) -> Receive:
        """What to receive a request's body by. Raises JSONInvalid and BodyTooLarge then, as often as it is asked."""
        length = header_of(scope, b"content-length")
        if scope["method"] in _BODILESS:
            if not length and not header_of(scope, b"transfer-encoding"):
                return receive  # there is none
            is_json = False
        else:
            is_json = "json" in header_of(scope, b"content-type").lower()
        path = scope["path"]
        limit_bytes = None if self._unlimited.fullmatch(path) else self._limit_bytes
        is_json = is_json and not self._kept.fullmatch(path)
        return _Checked(receive, limit_bytes, int(length) if length.isdigit() else 0, is_json=is_json)


class _Checked:
    """Refuses a body past the limit, by its declared length or while it arrives. JSON is received as a whole, once it
    is known to be good."""

    def __init__(self, receive: Receive, limit_bytes: int | None, declared_bytes: int, *, is_json: bool) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._declared_bytes = declared_bytes
        self._received_bytes = 0
        self._is_unread_json = is_json
        self._error: JSONInvalid | None = None

    async def __call__(self) -> Message:
        if self._error is not None:
            raise self._error
        self._check(self._declared_bytes)
        if not self._is_unread_json:
            return await self._next()
        pieces = []
        while True:
            message = await self._next()
            if message["type"] != "http.request":
                return message
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        self._is_unread_json = False
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if body:
            try:
                strict_json.check(body)
            except strict_json.NotStrict as error:
                self._error = JSONInvalid(f"The body is not JSON as it is read here: {error}.")
                raise self._error from None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _next(self) -> Message:
        message = await self._receive()
        self._received_bytes += len(message.get("body", b""))
        self._check(self._received_bytes)
        return message

    def _check(self, size_bytes: int) -> None:
        limit_bytes = self._limit_bytes
        if limit_bytes is not None and size_bytes > limit_bytes:
            raise BodyTooLarge(f"The body may have at most {limit_bytes} bytes.", limit_bytes=limit_bytes)
