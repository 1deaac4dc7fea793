"""One GET of a file that somebody else's server has, by somebody else's URL.

The URL may be meant to reach what only we can reach. So its name is resolved once, every address is vetted, and the
connection goes to a vetted address itself: what the name leads to a moment later changes nothing. One request is all
there is: no redirects, cookies, proxies or credentials of ours, since the transport is used without a client.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

import httpx2

from wapsi.fetch import addresses, urls
from wapsi.fetch.errors import (
    ConnectFailed,
    Empty,
    EncodingRefused,
    Incomplete,
    LengthUnknown,
    ProtocolBroken,
    Redirected,
    StatusRefused,
    TimedOut,
    TLSFailed,
    TooLarge,
    TooSlow,
)

Resolve = Callable[[str, int], Awaitable[Collection[str]]]

_MAX_ADDRESSES_TRIED: Final = 4
_MAX_VALIDATOR_LENGTH: Final = 500
# Readers recognise these by the content; they are asked for by nobody, but files are served so.
_ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "zstd"})
_HINTS: Final = {
    401: "Check the credentials in the URL.",
    403: "Check the credentials in the URL, and whether the shop lets us in.",
    404: "Check the URL.",
    410: "Ask the shop for its new URL.",
}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """`answer_s`: until the answer's headers are there. `total_s`: for everything.

    A body must bring `rate_bytes_s` on average over each `window_s`. Headers may have about 100 KiB.
    """

    size_bytes: int
    connect_s: float = 10
    answer_s: float = 60
    total_s: float = 900
    rate_bytes_s: int = 4096
    window_s: float = 20


class Fetched:
    """An answer. `unchanged`: it is what the validators named, and has no body.

    `etag` and `last_modified` are its validators for the next time, as the server wrote them.
    """

    def __init__(self, response: httpx2.Response, body: AsyncIterator[bytes], *, unchanged: bool) -> None:
        self.unchanged = unchanged
        self.etag = _validator(response.headers.get("etag"))
        self.last_modified = _validator(response.headers.get("last-modified"))
        self._body = body

    def body(self) -> AsyncIterator[bytes]:
        """The file's bytes as they were sent, once.

        Raises Empty, TooLarge, TooSlow, TimedOut, Incomplete.
        """
        return self._body


class Fetcher:
    """`trusted_networks` are for tests: addresses in them are fetched too, on any port."""

    def __init__(
        self,
        limits: FetchLimits,
        *,
        allow_http: bool = False,
        trusted_networks: Collection[addresses.Network] = (),
        resolve: Resolve = addresses.resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._allow_http = allow_http
        self._trusted = tuple(trusted_networks)
        self._resolve = resolve
        self._tls = tls

    def check(self, url: str) -> urls.Target:
        """What can be said without looking its host up.

        Raises URLInvalid, SchemeRefused, UserInfoRefused, PortRefused, AddressRefused.
        """
        target = urls.parse(url, allow_http=self._allow_http, any_port=bool(self._trusted))
        if _is_address(target.host):
            addresses.vetted(target.host, [target.host], self._trusted)
        return target

    @contextlib.asynccontextmanager
    async def get(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AsyncIterator[Fetched]:
        """The answer, whose body is to be read within the block. The validators are those of the answer before.

        Raises any FetchError.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        ends = started + self._limits.total_s
        target = self.check(url)
        validators = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        headers = {
            "Host": target.url.netloc.decode("ascii"),
            "User-Agent": "Wapsi-Feeds/1",
            "Accept": "*/*",
            # Bytes are counted and hashed as they come, and the readers expand them with limits of their own.
            "Accept-Encoding": "identity",
            "Connection": "close",
            **{name: value for name, value in validators.items() if value is not None},
        }
        async with contextlib.AsyncExitStack() as opened:
            try:
                async with asyncio.timeout_at(min(ends, started + self._limits.answer_s)):
                    transport = await opened.enter_async_context(await self._transport())
                    response = await self._answer(transport, target, headers)
            except TimeoutError:
                raise TimedOut(f"{target.host} did not answer within {self._limits.answer_s:g} s.") from None
            unchanged = response.status_code == 304 and bool(etag or last_modified)
            if not unchanged:
                self._check_answer(response, target)
            pieces = self._pieces(response, target, ends)
            opened.push_async_callback(pieces.aclose)
            yield Fetched(response, pieces, unchanged=unchanged)

    async def _transport(self) -> httpx2.AsyncHTTPTransport:
        if self._tls is None:
            # Reads the system's authorities.
            self._tls = await asyncio.to_thread(httpx2.create_ssl_context)
        return httpx2.AsyncHTTPTransport(
            verify=self._tls, trust_env=False, limits=httpx2.Limits(max_connections=1, max_keepalive_connections=0)
        )

    async def _answer(
        self, transport: httpx2.AsyncHTTPTransport, target: urls.Target, headers: dict[str, str]
    ) -> httpx2.Response:
        found = [target.host] if _is_address(target.host) else await self._resolve(target.host, target.port)
        extensions = {
            # Reading has deadlines of our own, which no drip of single bytes puts off.
            "timeout": {"connect": self._limits.connect_s, "write": self._limits.connect_s, "pool": None, "read": None},
            "sni_hostname": target.host,
        }
        for address in addresses.vetted(target.host, found, self._trusted)[:_MAX_ADDRESSES_TRIED]:
            request = httpx2.Request("GET", target.at(address), headers=headers, extensions=extensions)
            try:
                return await transport.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                _raise_if_of_tls(error, target.host)
            except httpx2.ProtocolError:
                raise ProtocolBroken(
                    f"{target.host} does not answer in proper HTTP, or with endless headers."
                ) from None
            except httpx2.NetworkError:
                raise ConnectFailed(f"{target.host} broke the connection off before it answered.") from None
        raise ConnectFailed(f"{target.host} takes no connection on port {target.port}.")

    def _check_answer(self, response: httpx2.Response, target: urls.Target) -> None:
        status = response.status_code
        if 300 <= status < 400 and status != 304:
            raise Redirected(
                f"{target.host} redirects to {_location(response, target)}. Redirects are not followed: "
                "give that URL instead, if it is the shop's."
            )
        if status != 200:
            hint = _HINTS.get(status, "It is tried again later." if status >= 500 or status == 429 else "")
            raise StatusRefused(f"{target.host} answered {status} instead of 200. {hint}".rstrip())
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise EncodingRefused(f"{target.host} sends the file in an encoding that was not asked for.")
        length = response.headers.get("content-length", "")
        if not length and "transfer-encoding" not in response.headers:
            raise LengthUnknown(
                f"{target.host} says neither how long the file is nor where it ends, so that a part of it would pass "
                "for the whole. It must send a Content-Length, or use HTTP/1.1's chunks."
            )
        # The parser has refused what is no number.
        if length and int(length) > self._limits.size_bytes:
            raise self._too_large()

    async def _pieces(self, response: httpx2.Response, target: urls.Target, ends: float) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        limits = self._limits
        received = in_window = 0
        window_ends = loop.time() + limits.window_s
        async with contextlib.aclosing(response.aiter_raw()) as pieces:
            while True:
                try:
                    async with asyncio.timeout_at(min(ends, window_ends)):
                        piece = await anext(pieces, None)
                except TimeoutError:
                    if loop.time() >= ends:
                        raise TimedOut(f"The file was not there within {limits.total_s:g} s.") from None
                    raise TooSlow(
                        f"{target.host} sent less than {limits.rate_bytes_s} bytes a second for {limits.window_s:g} s."
                    ) from None
                except httpx2.TransportError:
                    raise Incomplete(f"{target.host} broke off after {received} bytes.") from None
                if piece is None:
                    if received == 0 and response.status_code == 200:
                        raise Empty(f"{target.host} sent an empty file.")
                    return
                received += len(piece)
                if received > limits.size_bytes:
                    raise self._too_large()
                in_window += len(piece)
                if in_window >= limits.rate_bytes_s * limits.window_s:
                    in_window, window_ends = 0, loop.time() + limits.window_s
                handed_over = loop.time()
                yield piece
                # The time that the reader took is not the sender's.
                window_ends += loop.time() - handed_over

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The file has more than the {self._limits.size_bytes} bytes that a feed may have.")


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _validator(value: str | None) -> str | None:
    """As it is sent back the next time; one that is odd is not worth it."""
    return value if value and len(value) <= _MAX_VALIDATOR_LENGTH and value.isascii() and value.isprintable() else None


def _raise_if_of_tls(error: Exception, host: str) -> None:
    """Another address would not have a better certificate, and nobody should go looking for one."""
    cause: BaseException | None = error
    while cause is not None:
        # A handshake that got no answer is not one that failed.
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLWantReadError):
            words = getattr(cause, "verify_message", None) or cause.reason or "the handshake failed"
            raise TLSFailed(f"{host} cannot prove who it is: {words}.") from None
        # The pool below hides the cause of what it raises, but not its context.
        cause = cause.__cause__ or cause.__context__


def _location(response: httpx2.Response, target: urls.Target) -> str:
    location = response.headers.get("location")
    if not location:
        return "another URL, which it does not name"
    try:
        return urls.shown(target.url.join(location))[:300]
    except httpx2.InvalidURL:
        return "an address that cannot be read"
