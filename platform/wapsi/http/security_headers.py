"""Headers that tell browsers to do nothing with an answer but read it."""

from collections.abc import Collection, Iterable

Header = tuple[bytes, bytes]

_ALWAYS: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]
# An answer is never a page: whatever a browser is made to take it for, it loads nothing and stands in no frame.
_API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
# FastAPI's own pages load their scripts from its CDN. They are off in production.
_PAGES_POLICY = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    b"font-src https://fonts.gstatic.com; img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; "
    b"connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
)
_NOT_KEPT = (b"cache-control", b"no-store")
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class SecurityHeaders:
    """What says nothing of caches is kept by none: a route that may be cached says so itself."""

    def __init__(self, *, pages: Collection[str | None] = (), strict_transport: bool = False) -> None:
        self._pages = frozenset(pages)
        always = [*_ALWAYS, *([_STRICT_TRANSPORT] if strict_transport else [])]
        self._of_answers = [*always, (b"content-security-policy", _API_POLICY), _NOT_KEPT]
        self._of_pages = [*always, (b"content-security-policy", _PAGES_POLICY), _NOT_KEPT]

    def beside(self, given: Iterable[Header], path: str) -> list[Header]:
        """To be added to an answer's own; what it says itself stands."""
        names = {name.lower() for name, _ in given}
        return [pair for pair in (self._of_pages if path in self._pages else self._of_answers) if pair[0] not in names]
