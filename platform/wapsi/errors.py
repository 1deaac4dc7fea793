"""Errors that a caller can do something about, and the one table that maps them to HTTP and gRPC.

A domain keeps its errors beside its service: one class a cause, below one of the categories here, with a stable
UPPER_SNAKE `reason`. Neither an HTTP status nor a gRPC code appears anywhere but in `Category`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Category(Enum):
    """(HTTP status, gRPC status code name, title)"""

    INVALID = (422, "INVALID_ARGUMENT", "The request is not valid")
    MISSING_HEADER = (400, "INVALID_ARGUMENT", "A required header is missing")
    UNAUTHENTICATED = (401, "UNAUTHENTICATED", "Sign in first")
    PERMISSION_DENIED = (403, "PERMISSION_DENIED", "Not allowed")
    NOT_FOUND = (404, "NOT_FOUND", "Not found")
    CONFLICT = (409, "ALREADY_EXISTS", "It exists already, or is being made")
    PRECONDITION = (409, "FAILED_PRECONDITION", "Not possible in the present state")
    ABORTED = (409, "ABORTED", "Another change came first; try again")
    DATA_LOSS = (422, "DATA_LOSS", "What arrived is not what was sent")
    OUT_OF_RANGE = (416, "OUT_OF_RANGE", "The position does not follow what is stored")
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED", "Too large")
    EXHAUSTED = (429, "RESOURCE_EXHAUSTED", "Too many requests")
    UNAVAILABLE = (503, "UNAVAILABLE", "Not available at the moment")

    def __init__(self, http_status: int, grpc_code: str, title: str) -> None:
        self.http_status = http_status
        self.grpc_code = grpc_code
        self.title = title


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that was refused: its path in the request, and why in words."""

    field: str
    description: str


class DomainError(Exception):
    """Base of every error that reaches a caller. `metadata` holds identifiers, never secrets or personal data."""

    category: ClassVar[Category]
    reason: ClassVar[str]

    def __init__(self, message: str, *, violations: Sequence[FieldViolation] = (), **metadata: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = {key: str(value) for key, value in metadata.items()}


class Invalid(DomainError):
    category = Category.INVALID


class Unauthenticated(DomainError):
    category = Category.UNAUTHENTICATED


class PermissionDenied(DomainError):
    category = Category.PERMISSION_DENIED


class NotFound(DomainError):
    category = Category.NOT_FOUND


class Conflict(DomainError):
    category = Category.CONFLICT


class PreconditionFailed(DomainError):
    category = Category.PRECONDITION


class Aborted(DomainError):
    category = Category.ABORTED


class DataLoss(DomainError):
    category = Category.DATA_LOSS


class OutOfRange(DomainError):
    category = Category.OUT_OF_RANGE


class TooLarge(DomainError):
    category = Category.TOO_LARGE


class Exhausted(DomainError):
    category = Category.EXHAUSTED


class Unavailable(DomainError):
    category = Category.UNAVAILABLE
