"""Issues about a row: stable code, field, severity, the value shortened, and words on what to do."""

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

MAX_VALUE_LENGTH = 80
# What PostgreSQL and protobuf cannot hold must not come back in a diagnostic either.
_UNSHOWABLE = {0: "\ufffd"}


def shorten(value: str) -> str:
    """At most MAX_VALUE_LENGTH characters, storable as text."""
    if len(value) > MAX_VALUE_LENGTH:
        value = value[: MAX_VALUE_LENGTH - 1] + "…"
    if not value.isprintable():
        value = value.translate(_UNSHOWABLE).encode("utf-8", "replace").decode()
    return value


def error(code: str, field: str, message: str, value: str = "") -> pb.Issue:
    """Drops the row."""
    return pb.Issue(severity=pb.SEVERITY_ERROR, code=code, field=field, message=message, value=shorten(value))


def warning(code: str, field: str, message: str, value: str = "") -> pb.Issue:
    """Keeps the row."""
    return pb.Issue(severity=pb.SEVERITY_WARNING, code=code, field=field, message=message, value=shorten(value))
