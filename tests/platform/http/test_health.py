"""Up, ready, and not to be restarted are three questions."""

from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import text
from structlog.testing import capture_logs

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.runtime import Runtime

Serve = Callable[..., httpx2.AsyncClient]
MakeDatabase = Callable[..., Database]


def with_faults(known: Runtime, down: Settings, db: Database, *, queue: bool, database: bool) -> Runtime:
    settings = known.settings.model_copy(update={"queue_url": down.queue_url}) if queue else known.settings
    return replace(known, settings=settings, db=db if database else known.db)


async def test_all_is_well(serve: Serve) -> None:
    api = serve(APIRouter())
    for path in ("/healthz", "/livez"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = await api.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "failed": {}})


@pytest.mark.parametrize(
    ("database", "queue"), [(True, False), (False, True), (True, True)], ids=["database", "queue", "both"]
)
async def test_what_is_away_is_named_and_nobody_is_restarted_for_it(
    serve: Serve, known: Runtime, down: Settings, make_database: MakeDatabase, database: bool, queue: bool
) -> None:
    runtime = with_faults(known, down, make_database(down), queue=queue, database=database)
    api = serve(APIRouter(), runtime)
    with capture_logs() as logs:
        answer = await api.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    away = {name for name, is_away in (("database", database), ("queue", queue)) if is_away}
    assert answer.json()["failed"].keys() == away
    assert all(words.startswith("did not answer (") for words in answer.json()["failed"].values())
    assert "/nowhere" not in answer.text
    assert {line["dependency"] for line in logs if line["event"] == "dependency_unavailable"} == away
    for path in ("/livez", "/healthz"):
        assert (await api.get(path)).status_code == 200


async def test_a_database_without_a_free_connection_is_not_ready(
    serve: Serve, known: Runtime, make_database: MakeDatabase
) -> None:
    db = make_database(database_pool_size=1, database_pool_timeout_s=1)
    api = serve(APIRouter(), replace(known, db=db))
    async with db.write() as session:
        await session.scalar(text("SELECT 1"))
        with capture_logs():
            answer = await api.get("/readyz")
        assert answer.json()["failed"].keys() == {"database"}
    assert (await api.get("/readyz")).status_code == 200
