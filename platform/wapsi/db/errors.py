"""What may go wrong with the database, told apart once: its faults (a 503, worth a retry) and ours (a 500)."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wapsi.errors import Invalid, Unavailable

# SQLSTATE classes and codes that are faults of the database and not of the statement: no connection, no resources,
# an operator's shutdown, an idle transaction ended; a statement or a lock that took too long; a deadlock or a
# serialization failure, of which one transaction must begin anew.
_OPERATIONAL_STATES = ("08", "53", "57P", "25P03", "57014", "55P03", "40P01", "40001")


class DatabaseUnreachable(ConnectionError):
    """No connection could be made: nobody answers, or the server refuses us."""


_CHARACTER_NOT_IN_REPERTOIRE = "22021"


class TextInvalid(Invalid):
    """The one fault of a value that every text can have, wherever it comes in."""

    reason = "TEXT_INVALID"


class DatabaseUnavailable(Unavailable):
    reason = "DATABASE_UNAVAILABLE"


@contextlib.asynccontextmanager
async def operational_errors_in_words() -> AsyncIterator[None]:
    """Faults of the database, not of the request, become one error that is a 503 and worth a retry."""
    try:
        yield
    except (
        DatabaseUnreachable,
        PoolTimeout,
        DBAPIError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        if _state_of(error) == _CHARACTER_NOT_IN_REPERTOIRE:
            raise TextInvalid("A text has a NUL character, which no text may have. Leave it out.") from None
        if not _is_operational(error):
            raise
        raise DatabaseUnavailable("The database did not answer. Try again in a moment.") from error


def _state_of(error: BaseException) -> str | None:
    driver = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else error
    return getattr(driver, "sqlstate", None)


def _is_operational(error: Exception) -> bool:
    """A statement that is wrong is not among them, nor a value that does not fit: those are our bugs, and a 500."""
    if isinstance(error, (DatabaseUnreachable, PoolTimeout)):
        return True
    driver: BaseException | None = error
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        driver = error.orig.__cause__ if error.orig is not None else None
    if isinstance(driver, asyncpg.InvalidCachedStatementError):
        return True  # planned before a migration; the next transaction plans it anew
    if isinstance(driver, asyncpg.PostgresError):
        return str(driver.sqlstate).startswith(_OPERATIONAL_STATES)
    return isinstance(driver, asyncpg.InterfaceError) and not isinstance(driver, asyncpg.DataError)


# A standby ends a query that reads what the primary has removed; and it has connections of its own to run out of.
_OF_THE_REPLICA_ALONE = ("40001", "53300")


def is_unreachable(error: BaseException) -> bool:
    """Whether the server is gone, and not only this statement."""
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, asyncpg.DataError)
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(("08", "57P"))
    return isinstance(error, DatabaseUnreachable)


def is_for_the_primary(error: BaseException) -> bool:
    """Whether a read that failed on the replica may do better on the primary."""
    return is_unreachable(error) or getattr(error, "sqlstate", None) in _OF_THE_REPLICA_ALONE
