"""A message, and what sends it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from wapsi.errors import PreconditionFailed, Unavailable


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"


class MessageNotSent(Unavailable):
    """Worth another attempt. Says what happened, and never to whom: it ends in the table of jobs and in logs."""

    reason = "MESSAGE_NOT_SENT"


class MessageRefused(PreconditionFailed):
    """Another attempt would end the same way."""

    reason = "MESSAGE_REFUSED"


@dataclass(frozen=True, slots=True)
class Message:
    """`recipient` is an e-mail address, or a number in E.164. A text message shows no subject."""

    id: UUID
    channel: Channel
    recipient: str
    subject: str
    text: str


class MessageSender(Protocol):
    """`keeps_content`: what was sent stays readable in the table, since nobody else has it. Development only."""

    keeps_content: bool

    async def send(self, message: Message) -> None:
        """Raises MessageNotSent and MessageRefused."""
