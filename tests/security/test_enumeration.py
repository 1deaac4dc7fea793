"""Nobody learns from an answer who has an account: same status, same body, same headers, and the same work.

Time is not measured, since a test of it would fail on a busy machine, or would have to forgive too much. What takes
time is counted instead: hashes of passwords, and statements.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import Engine, event, text

from wapsi.runtime import Runtime
from wapsi.security import passwords
from wapsi.security.permissions import OperatorRole

KNOWN, UNKNOWN = "asma@example.com", "zara@example.com"
KNOWN_PHONE, UNKNOWN_PHONE = "+923001234567", "+923007654321"
NEW = {"password": "a long enough sentence", "display_name": "Somebody"}
WRONG = {"password": "not the right password"}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|[\w+]+@example\.com")


@contextmanager
def work_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """{what: times} of hashes made, hashes verified, and each statement."""
    done: Counter[str] = Counter()
    hasher = passwords._HASHER
    for name in ("hash", "verify"):
        monkeypatch.setattr(hasher, name, _counting(done, f"password {name}", getattr(hasher, name)))

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        done[statement] += 1

    event.listen(Engine, "before_cursor_execute", note)
    yield done
    event.remove(Engine, "before_cursor_execute", note)
    monkeypatch.undo()


def _counting(done: Counter[str], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        done[name] += 1
        return real(*arguments, **named)

    return call


def shape(answer: httpx2.Response) -> tuple[int, str, set[str]]:
    return answer.status_code, _ID.sub("…", answer.text), set(answer.headers) - {"retry-after"}


@pytest.fixture
async def accounts(
    make_customer: Callable[..., Awaitable[UUID]],
    operator: Callable[[OperatorRole], Awaitable[dict[str, str]]],
    admin_sql: Any,
) -> str:
    """Asma has an account by e-mail and by phone; the e-mail of an operator is returned."""
    await make_customer(KNOWN)
    await make_customer(None, phone=KNOWN_PHONE)
    await operator(OperatorRole.SUPPORT)
    return str((await admin_sql("SELECT email FROM operators"))[0]["email"])


DOORS = {
    "sign-in by e-mail": ("/v1/sessions", WRONG, {"email": KNOWN}, {"email": UNKNOWN}),
    "sign-in by phone": ("/v1/sessions", WRONG, {"phone": KNOWN_PHONE}, {"phone": UNKNOWN_PHONE}),
    "sign-up by e-mail": ("/v1/customers", NEW, {"email": KNOWN}, {"email": UNKNOWN}),
    "sign-up by phone": ("/v1/customers", NEW, {"phone": KNOWN_PHONE}, {"phone": UNKNOWN_PHONE}),
    "reset by e-mail": ("/v1/password-resets", {}, {"email": KNOWN}, {"email": UNKNOWN}),
    "reset by phone": ("/v1/password-resets", {}, {"phone": KNOWN_PHONE}, {"phone": UNKNOWN_PHONE}),
    "an operator's sign-in": ("/v1/admin/sessions", WRONG, {}, {"email": UNKNOWN}),
}


@pytest.mark.parametrize("door", DOORS)
async def test_who_has_an_account_is_not_told(
    api: httpx2.AsyncClient, accounts: str, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    path, body, known, unknown = DOORS[door]
    seen = []
    # The first of each is not counted: it may prepare what later ones find prepared.
    for who in (unknown, known or {"email": accounts}) * 2:
        with work_counted(monkeypatch) as done:
            answer = await api.post(path, json=body | who, headers={"Idempotency-Key": uuid4().hex})
        seen.append((shape(answer), dict(done)))
    stranger, member = seen[2:]
    assert member == stranger
    (status, words, _headers), work = member
    assert status in (202, 401), words
    assert (KNOWN in words, UNKNOWN in words) == (False, False)
    if path != "/v1/password-resets":
        assert work.keys() & {"password hash", "password verify"}, "nothing was counted"
    assert len(work) > 1 or "sign-in" in door


async def test_more_work_for_one_of_them_would_be_seen(
    runtime: Runtime, accounts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with work_counted(monkeypatch) as done:
        await passwords.verify_password("something", None)
        await passwords.hash_password("something")
        async with runtime.db.read() as session:
            await session.scalar(text("SELECT 'looked up'"))
    assert done["password verify"] == done["password hash"] == done["SELECT 'looked up'"] == 1
