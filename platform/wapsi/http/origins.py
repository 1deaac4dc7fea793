"""CORS, for requests that name an origin, as those of browsers do."""

from fastapi.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from wapsi.http.middleware import header_of


class Origins(CORSMiddleware):
    """Starlette's. Other requests pass it by, and wapsi.http.door says of their answers that these vary."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not header_of(scope, b"origin"):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
