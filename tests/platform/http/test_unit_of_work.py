"""An answer never leaves before its transaction has committed: a 201 is never a lie."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from structlog.testing import capture_logs

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.http.deps import ReadDep, WriteDep
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import Page
from wapsi.queue import outbox
from wapsi.runtime import Runtime

Serve = Callable[..., httpx2.AsyncClient]
router = APIRouter()


@router.post("/things", status_code=201)
async def make(session: WriteDep) -> dict[str, str]:
    return {"id": str(await outbox.enqueue(session, "test.thing", {}))}


@router.post("/keyed", status_code=201)
async def make_keyed(session: WriteDep, idempotency: IdempotencyDep) -> Any:
    async def work() -> Page[str]:
        return Page(items=[str(await outbox.enqueue(session, "test.thing", {}))])

    return await idempotency.answer(work)


@router.post("/sneaky")
async def sneaky(session: ReadDep) -> None:
    await outbox.enqueue(session, "test.sneaky", {})  # type: ignore[arg-type]  # what mypy refuses, Postgres does too


@pytest.fixture
def own(known: Runtime, own_settings: Settings, make_database: Callable[..., Database]) -> Runtime:
    return replace(known, db=make_database(own_settings))


# A rule that the database looks at only when the transaction ends, as a deferred constraint is.
_REFUSE = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = '{}'; END $$"""
_AT_COMMIT = """CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION refuse()"""


async def test_what_was_answered_is_committed(serve: Serve, admin_sql: Any) -> None:
    answer = await serve(router).post("/things")
    assert answer.status_code == 201
    [row] = await admin_sql("SELECT id::text FROM jobs")
    assert row["id"] == answer.json()["id"]


@pytest.mark.parametrize(("sqlstate", "status"), [("23514", 500), ("40001", 503)])
@pytest.mark.parametrize("path", ["/things", "/keyed"])
async def test_a_commit_that_fails_is_never_a_201(
    serve: Serve, own: Runtime, own_sql: Any, path: str, sqlstate: str, status: int
) -> None:
    await own_sql(_REFUSE.format(sqlstate))
    await own_sql(_AT_COMMIT)
    with capture_logs():
        answer = await serve(router, own).post(path, headers={"Idempotency-Key": "k"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "not today" not in answer.text
    assert await own_sql("SELECT 1 FROM jobs") == []
    assert await own_sql("SELECT 1 FROM idempotent_answers") == []


async def test_a_read_route_cannot_write(serve: Serve, admin_sql: Any) -> None:
    with capture_logs():
        answer = await serve(router).post("/sneaky")
    assert answer.status_code == 500
    assert await admin_sql("SELECT 1 FROM jobs") == []


@pytest.mark.parametrize("path", ["/things", "/keyed"])
async def test_with_the_database_away_the_answer_is_503_and_worth_a_retry(
    serve: Serve, known: Runtime, down: Settings, make_database: Callable[..., Database], path: str
) -> None:
    client = serve(router, replace(known, db=make_database(down)))
    with capture_logs() as logs:
        answer = await client.post(path, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "DATABASE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert "/nowhere" not in answer.text
    [line] = [line for line in logs if line["event"] == "dependency_unavailable"]
    assert line["log_level"] == "warning", "known and passing: nobody is woken for it"
