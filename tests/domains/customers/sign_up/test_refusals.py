"""What is refused at a sign-up: too many messages to one contact, and what makes no sense."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine

from domains.customers import service
from tests.domains.customers.sign_up.steps import (
    PHONE,
    SQL,
    Drain,
    MakeCustomer,
    Post,
    Read,
)
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.runtime import Runtime


async def test_one_contact_is_sent_so_much_in_an_hour_and_no_more(
    ask: Post, drain: Drain, messages: Read, admin_sql: SQL
) -> None:
    await asyncio.gather(*(ask(**PHONE) for _ in range(9)))
    await ask(phone="03007654321", email=None)
    await drain()
    assert len(await messages("+923001234567")) == 6
    assert len(await messages("+923007654321")) == 1
    with time_machine.travel(now() + timedelta(hours=1, seconds=1), tick=True):
        await ask(**PHONE)
        await admin_sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
        await drain()
    assert len(await messages("+923001234567")) == 7


async def test_not_even_when_all_are_answered_at_once(
    ask: Post, messages: Read, runtime: Runtime, admin_sql: SQL
) -> None:
    await asyncio.gather(*(ask(**PHONE) for _ in range(12)))

    async def answer(verification_id: UUID) -> None:
        async with runtime.db.write() as session:
            await service.answer_verification(session, runtime.keys, verification_id)

    await asyncio.gather(*(answer(row["id"]) for row in await admin_sql("SELECT id FROM verifications")))
    assert len(await messages("+923001234567")) == 6


async def test_a_message_carries_nothing_that_a_stranger_chose(ask: Post, drain: Drain, messages: Read) -> None:
    await ask(display_name="Win money at evil.example")
    await drain()
    (message,) = await messages("asma@example.com")
    assert "evil" not in message.subject + message.text


async def test_without_a_sender_of_texts_a_phone_is_refused_in_words(
    ask: Post, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "sms_target", None)
    answer = await ask(**PHONE)
    assert (answer.status_code, answer.json()["reason"]) == (409, "PHONE_UNAVAILABLE")
    assert (await ask()).status_code == 202


# What makes no sense


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nonsense"},
        {"email": "a\0@example.com"},
        {"email": "a@example.com\nBcc: b@example.com"},
        {"email": None},
        {"phone": "03001234567"},
        {"password": "too short"},
        {"password": "x" * 201},
        {"display_name": "  "},
        {"display_name": "a\0b"},
        {"display_name": "x" * 101},
        {"locale": "english"},
        {"referral_code": "?"},
        {"status": "active"},
    ],
)
async def test_what_makes_no_sense_is_refused_and_not_repeated(
    ask: Post, admin_sql: SQL, change: dict[str, Any]
) -> None:
    answer = await ask(**change)
    assert answer.status_code == 422
    assert answer.json()["reason"] in ("REQUEST_INVALID", "JSON_INVALID")
    assert "correct horse" not in answer.text
    assert "too short" not in answer.text
    assert await admin_sql("SELECT 1 FROM verifications") == []


async def test_a_number_from_elsewhere_is_refused_and_not_repeated(ask: Post) -> None:
    answer = await ask(email=None, phone="+14155550123")
    assert (answer.status_code, answer.json()["reason"]) == (422, "MOBILE_NUMBER_INVALID")
    assert "4155550123" not in answer.text


async def test_an_unknown_code_of_a_friend_is_refused_whatever_the_email(
    ask: Post, make_customer: MakeCustomer
) -> None:
    await make_customer()
    for email in ("asma@example.com", "new@example.com"):
        answer = await ask(email=email, referral_code="0000000000")
        assert (answer.status_code, answer.json()["reason"]) == (422, "REFERRAL_CODE_UNKNOWN")
