"""What the platform's tests share: a database of one's own, one that is away, and callers that need no domain."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import (
    CUSTOMER_PERMISSIONS,
    PRODUCER_PERMISSIONS,
    ROLE_PERMISSIONS,
    OperatorRole,
)
from wapsi.security.principal import CredentialsInvalid, Principal, PrincipalKind
from wapsi.security.signing import new_signing_key

NOWHERE = "postgresql+asyncpg://wapsi_app@/wapsi?host=/nowhere"


class KnownCallers:
    """An Authenticator for tests of the platform: the token is the caller's name."""

    def __init__(self) -> None:
        self.callers = {
            "asma": Principal(PrincipalKind.CUSTOMER, UUID(int=1), CUSTOMER_PERMISSIONS),
            "bilal": Principal(PrincipalKind.CUSTOMER, UUID(int=2), CUSTOMER_PERMISSIONS),
            "feeds": Principal(PrincipalKind.PRODUCER, UUID(int=3), PRODUCER_PERMISSIONS),
            "admin": Principal(PrincipalKind.OPERATOR, UUID(int=4), ROLE_PERMISSIONS[OperatorRole.ADMIN]),
        }

    async def authenticate(self, bearer: str, *, certificate_sha256: bytes | None = None) -> Principal:
        try:
            return self.callers[bearer]
        except KeyError:
            raise CredentialsInvalid from None

    def polling(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@pytest.fixture
def known(runtime: Runtime) -> Runtime:
    """The runtime, with callers named asma and bilal (customers), feeds (a producer) and admin (an operator)."""
    return replace(runtime, authenticator=KnownCallers())


@pytest.fixture(scope="session")
def plain_settings() -> Settings:
    """For what needs no server."""
    return Settings(
        database_url=NOWHERE,
        secret_key="a secret for tests, of 32 characters or more",
        signing_key=new_signing_key(),
    )


@pytest.fixture
def down(settings: Settings) -> Settings:
    """Settings that point to a database server and a queue that are not there."""
    return settings.model_copy(
        update={
            "database_url": NOWHERE,
            "database_migration_url": None,
            "queue_url": "redis://127.0.0.1:1/0",
            "database_pool_timeout_s": 1,
        }
    )


@pytest.fixture
async def make_database(settings: Settings) -> AsyncIterator[Callable[..., Database]]:
    """A Database with settings of its own: `make_database(database_pool_size=1)`."""
    made: list[Database] = []

    def make(base: Settings = settings, **update: Any) -> Database:
        made.append(Database(base.model_copy(update=update), role="test"))
        return made[-1]

    yield make
    for database in made:
        await database.dispose()


@pytest.fixture
def own_settings(servers: Any, settings: Settings, own_database: str) -> Settings:
    """Settings for a database that only this test has."""
    return settings.model_copy(
        update={
            "database_url": servers.database(own_database),
            "database_migration_url": servers.database(own_database, "postgres"),
        }
    )


@pytest.fixture
async def own_sql(own_settings: Settings) -> AsyncIterator[Any]:
    """Runs SQL as the superuser on the test's own database."""
    connection = await asyncpg.connect(own_settings.migration_url.replace("+asyncpg", ""))
    yield connection.fetch
    await connection.close()
