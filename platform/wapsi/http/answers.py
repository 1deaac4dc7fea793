"""JSON that is bytes already."""

from collections.abc import Sequence

from starlette.responses import Response


class JSONAnswer(Response):
    """Starlette's puts its few headers together in as much time as it takes to record a tenth of a click."""

    def __init__(self, body: bytes, status_code: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        length = b"%d" % len(body)
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json"), *headers]
