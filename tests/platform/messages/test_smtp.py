"""E-mail over a real SMTP server in this process: encrypted or not at all, and no address in what goes wrong."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message as Mail
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wapsi.messages import Channel, Message, MessageNotSent, MessageRefused
from wapsi.messages import smtp as adapter
from wapsi.messages.smtp import SMTPSender

MESSAGE = Message(uuid4(), Channel.EMAIL, "asma@example.com", "آپ کا واپسی کوڈ", "123456 واپسی کا کوڈ ہے۔")


class Inbox:
    """Takes mail; `answer` is what it says to a recipient."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.sent_encrypted: list[bool] = []
        self.users: list[tuple[bytes, bytes]] = []
        self.answer = "250 OK"

    async def handle_RCPT(  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answer.format(address=address)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        self.sent_encrypted.append(session.ssl is not None)
        return "250 taken"

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> Any:
        self.users.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "mail.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


class _Plain(Controller):
    """On a free port."""

    def __init__(self, inbox: Inbox, **options: Any) -> None:
        super().__init__(inbox, hostname="127.0.0.1", port=0, **options)

    def _trigger_server(self) -> None:
        """Looks whether it is up, at the port that it got."""
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), 5.0) as connection:
            connection.recv(1024)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"


@pytest.fixture
def server(inbox: Inbox) -> Iterator[str]:
    controller = _Plain(inbox)
    controller.start()
    yield controller.address
    controller.stop()


def _trust(monkeypatch: pytest.MonkeyPatch, context: ssl.SSLContext) -> None:
    async def tls_context() -> ssl.SSLContext:
        return context

    monkeypatch.setattr(adapter, "tls_context", tls_context)


@pytest.fixture
def tls_server(inbox: Inbox, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One that wants STARTTLS and a login, whose certificate is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    controller = _Plain(
        inbox, tls_context=context, require_starttls=True, auth_required=True, authenticator=inbox.authenticate
    )
    controller.start()
    trusting = ssl.create_default_context(cafile=str(certificate))
    _trust(monkeypatch, trusting)
    yield controller.address
    controller.stop()


def sender(url: str, sender: str = "Wapsi <no-reply@wapsi.example>") -> SMTPSender:
    return SMTPSender(url, sender=sender, own_name="wapsi.example")


async def test_a_mail_arrives_encrypted_and_behind_a_login(tls_server: str, inbox: Inbox) -> None:
    await sender(f"smtp://wapsi%40example.com:p%40ss%2Fword@{tls_server}").send(MESSAGE)
    (mail,) = inbox.mails
    assert inbox.sent_encrypted == [True]
    assert inbox.users == [(b"wapsi@example.com", b"p@ss/word")]
    assert (mail["To"], mail["From"]) == ("asma@example.com", "Wapsi <no-reply@wapsi.example>")
    assert mail["Subject"] == MESSAGE.subject
    assert mail.get_content().strip() == MESSAGE.text  # type: ignore[attr-defined]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert str(MESSAGE.id) in mail["Message-ID"]


async def test_without_encryption_nothing_is_sent_unless_it_is_said(server: str, inbox: Inbox) -> None:
    with pytest.raises(MessageNotSent):
        await sender(f"smtp://{server}").send(MESSAGE)
    assert inbox.mails == []
    await sender(f"smtp://{server}?starttls=off").send(MESSAGE)
    assert len(inbox.mails) == 1


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(
    tls_server: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ssl.create_default_context()
    _trust(monkeypatch, ours)
    with pytest.raises(MessageNotSent):
        await sender(f"smtp://{tls_server}").send(MESSAGE)
    assert inbox.mails == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("550 no such user {address}", MessageRefused),
        ("451 {address} is busy", MessageNotSent),
        ("421 closing", MessageNotSent),
    ],
)
async def test_what_a_server_refuses_is_final_or_not_and_never_repeats_the_address(
    server: str, inbox: Inbox, answer: str, error: type[Exception]
) -> None:
    inbox.answer = answer
    with pytest.raises(error) as refused:
        await sender(f"smtp://{server}?starttls=off").send(MESSAGE)
    assert "asma" not in str(refused.value)
    assert refused.value.__suppress_context__
    assert answer[:3] in str(refused.value)


async def test_a_wrong_login_is_ours_to_mend(tls_server: str, inbox: Inbox) -> None:
    with pytest.raises(MessageNotSent) as refused:
        await sender(f"smtp://wapsi:wrong-secret@{tls_server}").send(MESSAGE)
    assert "(535)" in str(refused.value)
    assert "wrong-secret" not in str(refused.value)
    assert inbox.mails == []


@pytest.mark.parametrize(
    "recipient", ["asma@example.com\r\nBcc: all@example.com", "a\n@example.com", "a\0@example.com"]
)
async def test_nothing_breaks_out_of_a_header(server: str, inbox: Inbox, recipient: str) -> None:
    with pytest.raises(MessageRefused):
        await sender(f"smtp://{server}?starttls=off").send(
            Message(uuid4(), Channel.EMAIL, recipient, "A subject", "A text")
        )
    with pytest.raises(MessageRefused):
        await sender(f"smtp://{server}?starttls=off").send(
            Message(uuid4(), Channel.EMAIL, "asma@example.com", "A subject\r\nBcc: all@example.com", "A text")
        )
    assert inbox.mails == []


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the other end gives up."""
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_server_that_is_not_there_or_says_nothing_is_tried_again_later(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MessageNotSent):
        await sender("smtp://127.0.0.1:1").send(MESSAGE)
    monkeypatch.setattr(adapter, "TIMEOUT_S", 0.05)
    silent = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with pytest.raises(MessageNotSent):
        await sender(f"smtp://127.0.0.1:{port}").send(MESSAGE)
    silent.close()
    await silent.wait_closed()
