"""Sessions for services: what reads cannot write, and what writes cannot commit.

Neither type has `commit`: the unit of work at the edge (`Database.write`) does that, once, before the answer leaves.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast, overload

import asyncpg
from sqlalchemy import Executable, Result, ScalarResult, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import TypedReturnsRows

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class ReadSession:
    """Runs statements in one transaction that is READ ONLY."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> Result[Any]:
        return await self._session.execute(statement, parameters)

    @overload
    async def scalar(self, statement: TypedReturnsRows[T], parameters: Mapping[str, Any] | None = None) -> T | None: ...
    @overload
    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any: ...
    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        return await self._session.scalar(statement, parameters)

    @overload
    async def scalars(
        self, statement: TypedReturnsRows[T], parameters: Parameters | None = None
    ) -> ScalarResult[T]: ...
    @overload
    async def scalars(self, statement: Executable, parameters: Parameters | None = None) -> ScalarResult[Any]: ...
    async def scalars(self, statement: Executable, parameters: Parameters | None = None) -> ScalarResult[Any]:
        return await self._session.scalars(statement, parameters)

    async def get(self, entity: type[T], key: Any) -> T | None:
        return await self._session.get(entity, key)

    async def driver(self) -> asyncpg.Connection:
        """The asyncpg connection inside this session's transaction, for bulk paths (COPY, cursors)."""
        connection = await self._session.connection()
        # SQLAlchemy begins the transaction with its first statement; what the driver does must be inside it.
        await connection.execute(text("SELECT 1"))
        raw = await connection.get_raw_connection()
        return cast("asyncpg.Connection", raw.driver_connection)


class WriteSession(ReadSession):
    """A ReadSession that may also change things.

    `told` is what others in this process are to hear once it is committed: see Database.hear.
    """

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session)
        self.told: list[tuple[str, Any]] = []

    def tell(self, topic: str, what: Any) -> None:
        self.told.append((topic, what))

    def add(self, instance: object) -> None:
        self._session.add(instance)

    def add_all(self, instances: Sequence[object]) -> None:
        self._session.add_all(instances)

    async def flush(self) -> None:
        await self._session.flush()

    async def get_locked(self, entity: type[T], key: Any) -> T | None:
        """The row FOR UPDATE, read anew: nobody else changes it before this transaction ends."""
        return await self._session.get(entity, key, with_for_update=True, populate_existing=True)
