"""Idempotency-Key: the same request twice is one effect and one answer."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, SecretStr
from structlog.testing import capture_logs

from wapsi.clock import now
from wapsi.db import Database
from wapsi.errors import PreconditionFailed
from wapsi.http.deps import WriteDep
from wapsi.http.idempotency import IdempotencyDep, forget_answers
from wapsi.queue import outbox

Serve = Callable[..., httpx2.AsyncClient]
router = APIRouter()
SECRET = "correct horse battery"


class NewThing(BaseModel):
    name: str
    password: SecretStr | None = None
    pause_s: float = 0.0
    fail: bool = False
    crash: bool = False


class Thing(BaseModel):
    id: str
    name: str


class NotToday(PreconditionFailed):
    reason = "NOT_TODAY"


failing = {"now": False}


@router.post("/things")
@router.post("/things/{place}")
async def make(new: NewThing, session: WriteDep, idempotency: IdempotencyDep, place: str = "") -> Any:
    async def work() -> Thing:
        thing = Thing(id=str(await outbox.enqueue(session, "test.thing", {})), name=new.name)
        await asyncio.sleep(new.pause_s)
        if failing["now"] and new.fail:
            raise NotToday("Not today.")
        if failing["now"] and new.crash:
            raise RuntimeError("boom")
        return thing

    return await idempotency.answer(work, location=lambda thing: f"/things/{thing.id}")  # type: ignore[attr-defined]


@pytest.fixture
def api(serve: Serve) -> httpx2.AsyncClient:
    failing["now"] = False
    return serve(router)


async def post(
    api: httpx2.AsyncClient, name: str = "a", *, key: str | None = "k-1", caller: str | None = None, **fields: Any
) -> httpx2.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    if caller is not None:
        headers["Authorization"] = f"Bearer {caller}"
    return await api.post("/things", json={"name": name, **fields}, headers=headers)


async def effects(admin_sql: Any) -> int:
    [row] = await admin_sql("SELECT count(*) AS n FROM jobs")
    return int(row["n"])


@pytest.mark.parametrize("key", [None, ""])
async def test_without_a_key_the_answer_is_400(api: httpx2.AsyncClient, admin_sql: Any, key: str | None) -> None:
    answer = await post(api, key=key)
    assert (answer.status_code, answer.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert await effects(admin_sql) == 0


async def test_a_key_has_at_most_200_characters(api: httpx2.AsyncClient) -> None:
    assert (await post(api, key="x" * 200)).status_code == 201
    assert (await post(api, key="x" * 201)).status_code == 422


async def test_a_repetition_gets_the_first_answer_and_changes_nothing(api: httpx2.AsyncClient, admin_sql: Any) -> None:
    first = await post(api)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    assert first.headers["location"] == f"/things/{first.json()['id']}"
    for _ in range(3):
        again = await post(api)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
        assert again.headers["idempotency-replayed"] == "true"
    assert await effects(admin_sql) == 1


async def test_the_same_key_with_another_body_is_refused(api: httpx2.AsyncClient, admin_sql: Any) -> None:
    await post(api, "a")
    answer = await post(api, "b")
    assert (answer.status_code, answer.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await effects(admin_sql) == 1


async def test_the_same_key_on_another_path_is_refused(api: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    assert (await api.post("/things", json={"name": "a"}, headers=headers)).status_code == 201
    answer = await api.post("/things/elsewhere", json={"name": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_another_callers_equal_key_is_another_key(api: httpx2.AsyncClient, admin_sql: Any) -> None:
    answers = [await post(api, caller=caller) for caller in ("asma", "bilal", None)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert await effects(admin_sql) == 3


async def test_bad_credentials_do_not_pass_as_an_anonymous_caller(api: httpx2.AsyncClient) -> None:
    assert (await post(api, caller="nobody")).status_code == 401


async def test_of_parallel_requests_one_works_and_the_others_wait_or_repeat_it(
    api: httpx2.AsyncClient, admin_sql: Any
) -> None:
    answers = await asyncio.gather(*(post(api, pause_s=0.1) for _ in range(5)))
    made = [answer for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer.status_code != 201]
    assert {(answer.status_code, answer.json()["reason"]) for answer in others} == {(409, "IDEMPOTENCY_IN_FLIGHT")}
    assert len({answer.json()["id"] for answer in made}) == 1
    assert await effects(admin_sql) == 1
    assert (await post(api, pause_s=0.1)).headers["idempotency-replayed"] == "true"


async def test_requests_with_other_keys_or_of_others_do_not_wait_for_each_other(api: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(
        post(api, pause_s=0.1, key="k-1", caller="asma"),
        post(api, pause_s=0.1, key="k-2", caller="asma"),
        post(api, pause_s=0.1, key="k-1", caller="bilal"),
    )
    assert [answer.status_code for answer in answers] == [201, 201, 201]


@pytest.mark.parametrize(("how", "status"), [("fail", 409), ("crash", 500)])
async def test_a_failed_request_stores_nothing_and_its_key_is_good_for_another_try(
    api: httpx2.AsyncClient, admin_sql: Any, how: str, status: int
) -> None:
    failing["now"] = True
    with capture_logs():
        assert (await post(api, **{how: True})).status_code == status
    assert await effects(admin_sql) == 0
    failing["now"] = False
    answer = await post(api, **{how: True})
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers
    assert await effects(admin_sql) == 1


async def test_a_request_whose_client_left_stores_nothing(api: httpx2.AsyncClient, admin_sql: Any) -> None:
    request = asyncio.ensure_future(post(api, pause_s=5.0))
    await asyncio.sleep(0.1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await effects(admin_sql) == 0
    assert await admin_sql("SELECT 1 FROM idempotent_answers") == []


async def test_what_is_kept_of_a_request_does_not_show_its_body(api: httpx2.AsyncClient, admin_sql: Any) -> None:
    await post(api, password=SECRET)
    [row] = await admin_sql("SELECT idempotent_answers::text AS everything, fingerprint FROM idempotent_answers")
    assert SECRET not in row["everything"]
    assert SECRET.encode() not in row["fingerprint"]
    assert len(row["fingerprint"]) == 32


async def test_old_answers_are_forgotten(api: httpx2.AsyncClient, db: Database, admin_sql: Any) -> None:
    await post(api, key="old")
    await admin_sql("UPDATE idempotent_answers SET created_at = now() - interval '3 days'")
    await post(api, key="new")
    async with db.write() as session:
        assert await forget_answers(session, now() - timedelta(days=2)) == 1
        assert await forget_answers(session, datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert [row["key"] for row in await admin_sql("SELECT key FROM idempotent_answers")] == ["new"]
    assert "idempotency-replayed" not in (await post(api, key="old")).headers
