"""Messages are sent once their transaction is through, tried again when that helps, and wiped when they have ended."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import time_machine

from domains.customers import actors, service
from domains.customers.service import Contact
from domains.customers.service.message_texts import SHORT_LIVED, Template, text_of
from domains.customers.service.messages import queue_message
from wapsi.clock import now
from wapsi.messages import Message, MessageNotSent, MessageRefused
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Drain = Callable[[], Awaitable[int]]
ASMA = Contact.of(email="asma@example.com", phone=None)


class Sender:
    """Fails as it is told, else takes messages."""

    keeps_content = False

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.error: Exception | None = None

    async def send(self, message: Message) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(message)


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    sender = Sender()
    monkeypatch.setattr(actors, "make_sender", lambda _channel, _settings: sender)
    return sender


async def queue(runtime: Runtime, **options: Any) -> None:
    async with runtime.db.write() as session:
        await queue_message(session, runtime.keys, ASMA, Template.SIGN_UP_CODE, locale="en", code="12345678", **options)


async def state(admin_sql: SQL) -> tuple[str, bool]:
    """(state, whether what it says is still there)"""
    (row,) = await admin_sql("SELECT state, content_encrypted IS NOT NULL AS has_content FROM messages")
    return row["state"], row["has_content"]


async def test_a_message_is_sent_and_wiped(runtime: Runtime, sender: Sender, drain: Drain, admin_sql: SQL) -> None:
    await queue(runtime)
    assert await state(admin_sql) == ("queued", True)
    await drain()
    (message,) = sender.taken
    assert message.recipient == "asma@example.com"
    assert "12345678" in message.text
    assert await state(admin_sql) == ("sent", False)
    (row,) = await admin_sql("SELECT messages::text AS line FROM messages")
    assert "asma" not in row["line"]


async def test_nothing_is_sent_of_what_was_rolled_back(runtime: Runtime, sender: Sender, drain: Drain) -> None:
    async def fail() -> None:
        async with runtime.db.write() as session:
            await queue_message(session, runtime.keys, ASMA, Template.SIGN_UP_CODE, locale="en", code="12345678")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await drain()
    assert sender.taken == []


async def test_what_may_pass_is_tried_again(runtime: Runtime, sender: Sender, drain: Drain, admin_sql: SQL) -> None:
    await queue(runtime)
    sender.error = MessageNotSent("The mail server could not be used (TimeoutError).")
    await drain()
    assert await state(admin_sql) == ("queued", True)
    sender.error = None
    await admin_sql("UPDATE jobs SET due_at = now()")
    await drain()
    assert await state(admin_sql) == ("sent", False)


async def test_what_is_refused_is_given_up_at_once_and_wiped(
    runtime: Runtime, sender: Sender, drain: Drain, admin_sql: SQL
) -> None:
    await queue(runtime)
    sender.error = MessageRefused("The mail server refused the recipient (550).")
    await drain()
    assert await state(admin_sql) == ("failed", False)
    (row,) = await admin_sql("SELECT state, last_error FROM jobs")
    assert row["state"] == "dead"
    assert "550" in row["last_error"]


async def test_after_the_last_attempt_it_is_given_up_and_wiped(
    runtime: Runtime, sender: Sender, drain: Drain, admin_sql: SQL
) -> None:
    await queue(runtime)
    sender.error = MessageNotSent("The mail server could not be used (TimeoutError).")
    for _ in range(6):
        await admin_sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
        await drain()
    assert await state(admin_sql) == ("failed", False)


async def test_a_code_that_comes_too_late_is_not_sent(
    runtime: Runtime, sender: Sender, drain: Drain, admin_sql: SQL
) -> None:
    await queue(runtime)
    await admin_sql("UPDATE messages SET expires_at = $1", now() - timedelta(seconds=1))
    await drain()
    assert sender.taken == []
    assert await state(admin_sql) == ("failed", False)


async def test_what_tells_of_a_change_is_sent_hours_later_too(runtime: Runtime, sender: Sender, drain: Drain) -> None:
    async with runtime.db.write() as session:
        await queue_message(session, runtime.keys, ASMA, Template.PASSWORD_CHANGED, locale="en")
    with time_machine.travel(now() + timedelta(hours=5), tick=True):
        await drain()
    assert len(sender.taken) == 1


async def test_a_repeated_job_sends_nothing_twice(
    runtime: Runtime, sender: Sender, drain: Drain, admin_sql: SQL
) -> None:
    await queue(runtime)
    await drain()
    await admin_sql("UPDATE jobs SET state = 'ready', wake_at = now(), finished_at = NULL")
    await drain()
    assert len(sender.taken) == 1
    assert await state(admin_sql) == ("sent", False)


async def test_development_keeps_what_it_printed(runtime: Runtime, drain: Drain, admin_sql: SQL) -> None:
    await queue(runtime)
    await drain()
    assert await state(admin_sql) == ("sent", True)
    async with runtime.db.read() as session:
        (shown,) = await service.list_messages(session, runtime.keys, limit=10)
    assert (shown.recipient, shown.code) == ("asma@example.com", "12345678")


@pytest.mark.parametrize("template", list(Template))
@pytest.mark.parametrize("locale", ["en", "ur-PK"])
def test_each_text_is_whole_in_each_language(template: Template, locale: str) -> None:
    text = text_of(template, locale, "12345678")
    assert text.subject
    assert "{" not in text.body
    has_code = template in SHORT_LIVED - {Template.ACCOUNT_EXISTS}
    assert ("12345678" in text.body) == has_code
    assert ("واپسی" in text.body) == (locale == "ur-PK")
