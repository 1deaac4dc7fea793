"""Why nothing was fetched: one class a cause, with a stable reason, and words that say what to do.

No message holds a URL's query, nor anything else of a URL that may be a credential.
"""

from typing import ClassVar


class FetchError(Exception):
    reason: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class URLInvalid(FetchError):
    """Not an absolute URL, or one that other programs might read differently."""

    reason = "FETCH_URL_INVALID"


class SchemeRefused(FetchError):
    reason = "FETCH_SCHEME_REFUSED"


class UserInfoRefused(FetchError):
    reason = "FETCH_USER_INFO_REFUSED"


class PortRefused(FetchError):
    reason = "FETCH_PORT_REFUSED"


class HostUnknown(FetchError):
    reason = "FETCH_HOST_UNKNOWN"


class AddressRefused(FetchError):
    """The host's name leads, or may lead, into a network that is not the public one."""

    reason = "FETCH_ADDRESS_REFUSED"


class ConnectFailed(FetchError):
    reason = "FETCH_CONNECT_FAILED"


class TLSFailed(FetchError):
    """The server could not prove that it is the one the URL names."""

    reason = "FETCH_TLS_FAILED"


class Redirected(FetchError):
    reason = "FETCH_REDIRECTED"


class StatusRefused(FetchError):
    """Any answer but 200, and 304 where it was asked for."""

    reason = "FETCH_STATUS_REFUSED"


class ProtocolBroken(FetchError):
    """What the server sent is no HTTP, or its headers are larger than any need be."""

    reason = "FETCH_PROTOCOL_BROKEN"


class EncodingRefused(FetchError):
    reason = "FETCH_ENCODING_REFUSED"


class LengthUnknown(FetchError):
    """An answer that ends with the connection looks complete when it was cut off."""

    reason = "FETCH_LENGTH_UNKNOWN"


class Incomplete(FetchError):
    reason = "FETCH_INCOMPLETE"


class Empty(FetchError):
    reason = "FETCH_EMPTY"


class TooLarge(FetchError):
    reason = "FETCH_TOO_LARGE"


class TooSlow(FetchError):
    """Less came than the minimum rate: a sender may not hold a worker with a drip."""

    reason = "FETCH_TOO_SLOW"


class TimedOut(FetchError):
    reason = "FETCH_TIMED_OUT"
