"""E-mail over SMTP, encrypted on the way."""

import asyncio
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from wapsi.clock import now
from wapsi.messages.message import Message, MessageNotSent, MessageRefused
from wapsi.messages.tls import tls_context

TIMEOUT_S = 15.0
_SUBMISSION_PORT = 587
_TLS_PORT = 465


class SMTPSender:
    """`url`: smtp://user:password@host:587 (STARTTLS, or no mail is sent) or smtps://host:465.

    `?starttls=off` is for a relay on the same machine.
    """

    keeps_content = False

    def __init__(self, url: str, *, sender: str, own_name: str) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "smtps"
        self._starttls = not self._tls and parse_qs(parts.query).get("starttls") != ["off"]
        self._host = parts.hostname or ""
        self._port = parts.port or (_TLS_PORT if self._tls else _SUBMISSION_PORT)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender
        self._own_name = own_name

    async def send(self, message: Message) -> None:
        try:
            mail = self._compose(message)
        except ValueError:
            raise MessageRefused("The address or the subject cannot stand in a header.") from None
        try:
            await self._deliver(mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = sorted({refused.code for refused in error.recipients})
            raise _by_code("The mail server refused the recipient", codes[0] if codes else 0) from None
        except aiosmtplib.SMTPResponseException as error:
            # Its words are left out: servers like to repeat the address in them.
            raise _by_code("The mail server refused the message", error.code) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MessageNotSent(f"The mail server could not be used ({type(error).__name__}).") from None

    def _compose(self, message: Message) -> EmailMessage:
        """Raises ValueError for what would break out of its header."""
        if any(character in message.recipient for character in "\r\n\0"):
            raise ValueError("a line break in the address")
        name, address = parseaddr(self._sender)
        mail = EmailMessage()
        mail["From"] = Address(name, addr_spec=address)
        mail["To"] = Address(addr_spec=message.recipient)
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(now())
        mail["Message-ID"] = f"<{message.id}@{address.rpartition('@')[2]}>"
        # No out-of-office replies to codes (RFC 3834).
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail

    async def _deliver(self, mail: EmailMessage) -> None:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=self._tls,
            start_tls=self._starttls,
            username=self._user,
            password=self._password,
            # Looked up otherwise, which blocks the loop.
            local_hostname=self._own_name,
            timeout=TIMEOUT_S,
            tls_context=await tls_context(),
        )
        async with asyncio.timeout(2 * TIMEOUT_S), client:
            await client.send_message(mail)


def _by_code(words: str, code: int) -> MessageNotSent | MessageRefused:
    """4xx: later, perhaps. A server that wants a login, or refuses ours, is ours to mend: not the recipient's fault."""
    kind = MessageRefused if 500 <= code < 600 and code not in (530, 534, 535) else MessageNotSent
    return kind(f"{words} ({code}).", code=code)
