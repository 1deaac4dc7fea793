"""What is refused of a path, a query and a JSON body, whichever route they are for."""

import re
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wapsi import strict_json
from wapsi.db.errors import TextInvalid
from wapsi.errors import Category, DomainError
from wapsi.http.refusals import refuse

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class JSONInvalid(DomainError):
    category: ClassVar[Category] = Category.INVALID
    reason = "JSON_INVALID"


class InputGuard:
    """Pure ASGI, inside BodyLimit. `exempt`: paths whose bodies are kept as they are, whatever they hold."""

    def __init__(self, app: ASGIApp, *, exempt: re.Pattern[str]) -> None:
        self.app = app
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            detail = "The address has a NUL character, which no text may have. Leave it out."
            await refuse(scope, send, TextInvalid.category, TextInvalid.reason, detail)
            return
        if scope["method"] not in _BODILESS and _is_json(scope) and not self._exempt.fullmatch(scope["path"]):
            receive = _Checked(receive)
        await self.app(scope, receive, send)


class _Checked:
    """Receives a body as a whole, once it is known to be good. Raises JSONInvalid, as often as it is asked."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._error: JSONInvalid | None = None
        self._received = False

    async def __call__(self) -> Message:
        if self._error is not None:
            raise self._error
        if self._received:
            return await self._receive()
        pieces = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        self._received = True
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if body:
            try:
                strict_json.check(body)
            except strict_json.NotStrict as error:
                self._error = JSONInvalid(f"The body is not JSON as it is read here: {error}.")
                raise self._error from None
        return {"type": "http.request", "body": body, "more_body": False}


def _is_json(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return b"json" in value.lower()
    return False
