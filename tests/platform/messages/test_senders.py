"""Text messages through a signed webhook, and which sender the settings name."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import SecretStr, ValidationError

from wapsi.config import Environment, Settings
from wapsi.messages import Channel, Message, MessageNotSent, MessageRefused, make_sender
from wapsi.messages import webhook as adapter
from wapsi.messages.console import ConsoleSender
from wapsi.messages.smtp import SMTPSender
from wapsi.messages.webhook import WebhookSender
from wapsi.security.webhooks import sign_webhook

KEY = b"a key of a gateway"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
MESSAGE = Message(uuid4(), Channel.SMS, "+923001234567", "unused", "123456 is your code")


class Gateway:
    """An HTTP server that answers with `status`, or not at all."""

    def __init__(self) -> None:
        self.status: int | None = 202
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        lines = [line.split(": ", 1) for line in head[1:] if line]
        headers = {name.lower(): value for name, value in lines}
        self.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))
        if self.status is not None:
            more = "Location: /elsewhere\r\n" if self.status == 307 else ""
            writer.write(
                f"HTTP/1.1 {self.status} Word\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    server = await asyncio.start_server(gateway.talk, "127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/texts?key=1"
    yield gateway
    server.close()
    await server.wait_closed()


async def test_a_text_is_posted_and_signed(gateway: Gateway) -> None:
    await WebhookSender(gateway.url, secret=SECRET).send(MESSAGE)
    ((headers, body),) = gateway.requests
    assert orjson.loads(body) == {"id": str(MESSAGE.id), "to": "+923001234567", "text": MESSAGE.text}
    expected = sign_webhook(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected["webhook-signature"]
    assert headers["content-type"] == "application/json"


async def test_a_text_that_is_sent_again_has_the_same_id(gateway: Gateway) -> None:
    for _ in range(2):
        await WebhookSender(gateway.url, secret=SECRET).send(MESSAGE)
    assert len({headers["webhook-id"] for headers, _ in gateway.requests}) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, MessageRefused),
        (422, MessageRefused),
        (401, MessageNotSent),
        (404, MessageNotSent),
        (429, MessageNotSent),
        (500, MessageNotSent),
        (503, MessageNotSent),
        (307, MessageNotSent),
        (None, MessageNotSent),
    ],
)
async def test_what_a_gateway_refuses_is_final_or_not_and_says_nothing_of_the_number(
    gateway: Gateway, status: int | None, error: type[Exception]
) -> None:
    gateway.status = status
    with pytest.raises(error) as refused:
        await WebhookSender(gateway.url, secret=SECRET).send(MESSAGE)
    assert "300" not in str(refused.value).replace(str(status), "")
    assert refused.value.__cause__ is None
    assert len(gateway.requests) == 1, "redirects are not followed"


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the other end gives up."""
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_gateway_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "TIMEOUT_S", 0.05)
    silent = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with pytest.raises(MessageNotSent):
        await WebhookSender(f"http://127.0.0.1:{port}/", secret=SECRET).send(MESSAGE)
    silent.close()
    await silent.wait_closed()


async def test_the_console_prints_and_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    sender = ConsoleSender()
    await sender.send(MESSAGE)
    shown = capsys.readouterr()
    assert "123456 is your code" in shown.err
    assert shown.out == ""
    assert sender.keeps_content


# Settings


def configured(settings: Settings, **changes: Any) -> Settings:
    return Settings(**(settings.model_dump() | changes))


def test_each_channel_has_the_sender_that_is_named(settings: Settings) -> None:
    assert isinstance(make_sender(Channel.EMAIL, settings), ConsoleSender)
    assert isinstance(make_sender(Channel.SMS, settings), ConsoleSender)
    named = configured(
        settings,
        mail_url=SecretStr("smtps://mail.example"),
        sms_url=SecretStr("https://sms.example/send"),
        sms_secret=SecretStr(SECRET),
    )
    mail, sms = make_sender(Channel.EMAIL, named), make_sender(Channel.SMS, named)
    assert isinstance(mail, SMTPSender)
    assert isinstance(sms, WebhookSender)
    assert not mail.keeps_content
    assert not sms.keeps_content


PRODUCTION = {"environment": Environment.PRODUCTION, "public_url": "https://api.wapsi.example"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (PRODUCTION, "mail_url must be smtp:// or smtps:// in production"),
        (PRODUCTION | {"mail_url": "console"}, "mail_url must be smtp:// or smtps:// in production"),
        (PRODUCTION | {"mail_url": "smtp://m.example", "sms_url": "console"}, "sms_url must begin with https://"),
        ({"sms_url": "https://sms.example"}, "sms_secret must be set"),
        ({"mail_url": "https://user:hidden@m.example"}, "must be console or begin with smtp:// or smtps://"),
        ({"mail_url": "smtp://user:hidden@m.example:99999"}, "is not a URL"),
        ({"sms_url": "ftp://hidden.example"}, "must be console or begin with https:// or http://"),
        ({"sms_url": "https://sms.example", "sms_secret": "hidden!"}, "must be whsec_ and base64"),
        ({"mail_from": "nobody"}, "must be an address"),
        ({"mail_from": "Wapsi <a@b.example>\r\nBcc: c@d.example"}, "must be an address"),
    ],
)
def test_what_cannot_send_is_refused_at_the_start(settings: Settings, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        configured(settings, **changes)
    messages = [error["msg"] for error in refused.value.errors()]
    assert any(words in message for message in messages), messages
    assert not any("hidden" in message for message in messages)


def test_production_without_texts_has_no_sender_for_them(settings: Settings) -> None:
    production = configured(settings, **PRODUCTION, mail_url=SecretStr("smtp://mail.example"))
    assert production.sms_target is None
    with pytest.raises(MessageRefused):
        make_sender(Channel.SMS, production)
    assert production.mail_sender == "Wapsi <no-reply@api.wapsi.example>"
