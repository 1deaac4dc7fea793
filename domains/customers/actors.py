"""Work of the customers domain: messages to people, and what is forgotten."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domains.customers import service
from domains.customers.service import MessageState, SubjectKind
from wapsi.db import WriteSession
from wapsi.messages import make_sender
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job
from wapsi.queue.rounds import in_rounds


@job("customers.answer_verification")
async def answer_verification(job: Job) -> None:
    """Somebody claimed a contact: its owner gets a code, or hears that there is an account."""
    async with job.write() as session:
        await service.answer_verification(session, job.runtime.keys, UUID(job.args["verification_id"]))
        await job.complete(session)


async def _give_up(session: WriteSession, args: Mapping[str, Any], _error: str) -> None:
    await service.end_message(session, UUID(args["message_id"]), MessageState.FAILED)


@job("customers.send_message", max_attempts=6, time_limit_s=60, on_dead=_give_up)
async def send_message(job: Job) -> None:
    """At least once: after a crash between the sending and the commit it is sent again.

    What the sender calls final (MessageRefused) is not tried again; the rest is, while the message is of use.
    """
    runtime, message_id = job.runtime, UUID(job.args["message_id"])
    async with runtime.db.read() as reading:
        message = await service.get_unsent(reading, runtime.keys, message_id)
    if message is None:
        async with job.write() as session:
            await service.end_message(session, message_id, MessageState.FAILED)
            await job.complete(session)
        return
    sender = make_sender(message.channel, runtime.settings)
    await sender.send(message)
    async with job.write() as session:
        await service.end_message(session, message_id, MessageState.SENT, keep_content=sender.keeps_content)
        await job.complete(session)


@job(service.TELL_CUSTOMER)
async def tell_customer(job: Job) -> None:
    """Something has become of what they wait for, or money leaves."""
    async with job.write() as session:
        template = service.Template(job.args["template"])
        await service.tell(session, job.runtime.keys, SubjectKind.CUSTOMER, UUID(job.args["customer_id"]), template)
        await job.complete(session)


@job("customers.forget_sessions", every_s=3600)
async def forget(job: Job) -> None:
    """Deletes refresh tokens that expired long ago; the table would grow with every rotation."""
    await in_rounds(job, service.forget_sessions)
    async with job.write() as session:
        await job.complete(session)


@job("customers.forget_contacts", every_s=3600)
async def forget_contacts(job: Job) -> None:
    """Deletes claims to contacts that nobody proved, and old messages."""
    await in_rounds(job, service.forget_verifications)
    await in_rounds(job, service.forget_messages)
    async with job.write() as session:
        await job.complete(session)


# Retried after any fault: it finds less to do each time.
@job(service.ERASE_AGAIN)
async def forget_the_rest(job: Job) -> None:
    """What requests wrote that were under way when an account was deleted."""
    async with job.write() as session:
        await service.erase_again(session, job.runtime.personal_data, UUID(job.args["customer_id"]))
        await job.complete(session)
