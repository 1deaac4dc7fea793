"""Messages to people: queued in the transaction that makes them necessary, sent by a job, wiped when they have left."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select, text

from domains.customers.models import MessageRow, MessageState
from domains.customers.service.contacts import Contact
from domains.customers.service.message_texts import SHORT_LIVED, Template, text_of
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.messages import Channel, Message
from wapsi.queue import outbox
from wapsi.security.signing import Keys

# What strangers can make us send to one contact; the rest is left unsaid. A text message costs money.
LIMITS_PER_HOUR = {Channel.EMAIL: 20, Channel.SMS: 6}
SEND_WITHIN = timedelta(minutes=10)
TELL_WITHIN = timedelta(days=1)
KEEP_MESSAGES = timedelta(days=30)
FORGET_AT_ONCE = 50_000
_CODE = re.compile(r"\b[0-9]{8}\b")


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as development shows it. `code` is the one in its text."""

    at: datetime
    channel: Channel
    state: MessageState
    recipient: str
    subject: str
    text: str

    @property
    def code(self) -> str | None:
        found = _CODE.search(self.text)
        return None if found is None else found[0]


async def queue_message(
    session: WriteSession,
    keys: Keys,
    contact: Contact,
    template: Template,
    *,
    locale: str,
    customer_id: UUID | None = None,
    code: str = "",
) -> None:
    said = text_of(template, locale, code)
    content = {"recipient": contact.value, "subject": said.subject, "text": said.body}
    moment = now()
    row = MessageRow(
        id=new_id(),
        channel=contact.channel,
        template=template,
        recipient_fingerprint=contact.fingerprint(keys),
        content_encrypted=keys.encrypt(orjson.dumps(content).decode()),
        customer_id=customer_id,
        expires_at=moment + (SEND_WITHIN if template in SHORT_LIVED else TELL_WITHIN),
        created_at=moment,
    )
    session.add(row)
    await session.flush()
    await outbox.enqueue(session, "customers.send_message", {"message_id": str(row.id)})


async def has_had_enough(session: WriteSession, keys: Keys, contact: Contact) -> bool:
    """Whether this contact was sent all that it may be sent in an hour.

    Until the transaction ends nobody else asks this of the contact: many at once would each see few.
    """
    name = f"messages to {contact.fingerprint(keys).hex()}"
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
    count = await session.scalar(
        select(func.count())
        .select_from(MessageRow)
        .where(
            MessageRow.recipient_fingerprint.in_(contact.fingerprints(keys)),
            MessageRow.created_at > now() - timedelta(hours=1),
        )
    )
    return (count or 0) >= LIMITS_PER_HOUR[contact.channel]


async def get_unsent(session: ReadSession, keys: Keys, message_id: UUID) -> Message | None:
    """None where it was sent or given up, or comes too late to be of use."""
    row = await session.get(MessageRow, message_id)
    if row is None or row.state != MessageState.QUEUED or row.content_encrypted is None or row.expires_at <= now():
        return None
    content = orjson.loads(keys.decrypt(row.content_encrypted))
    return Message(row.id, Channel(row.channel), content["recipient"], content["subject"], content["text"])


async def end_message(
    session: WriteSession, message_id: UUID, state: MessageState, *, keep_content: bool = False
) -> None:
    """Sent or failed; what it said is wiped. One that has ended stays as it is."""
    row = await session.get_locked(MessageRow, message_id)
    if row is None or row.state != MessageState.QUEUED:
        return
    row.state = state
    row.sent_at = now() if state is MessageState.SENT else None
    if not keep_content:
        row.content_encrypted = None
    await session.flush()


async def list_messages(
    session: ReadSession, keys: Keys, *, limit: int, recipient: Contact | None = None
) -> list[ShownMessage]:
    """The newest first, of those that can still be read: in development, what the console has printed."""
    statement = select(MessageRow).where(MessageRow.content_encrypted.is_not(None))
    if recipient is not None:
        statement = statement.where(MessageRow.recipient_fingerprint.in_(recipient.fingerprints(keys)))
    shown = []
    for row in await session.scalars(statement.order_by(MessageRow.id.desc()).limit(limit)):
        assert row.content_encrypted is not None
        content = orjson.loads(keys.decrypt(row.content_encrypted))
        shown.append(ShownMessage(row.created_at, Channel(row.channel), MessageState(row.state), **content))
    return shown


async def forget_messages(session: WriteSession) -> int:
    """Deletes old ones, at most FORGET_AT_ONCE; returns how many."""
    old = select(MessageRow.id).where(MessageRow.created_at < now() - KEEP_MESSAGES).limit(FORGET_AT_ONCE)
    gone = await session.scalars(delete(MessageRow).where(MessageRow.id.in_(old)).returning(MessageRow.id))
    return len(gone.all())
