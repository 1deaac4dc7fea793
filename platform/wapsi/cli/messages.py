"""`wapsi messages`: what the console sender printed instead of sending. Development only."""

import asyncio
import time
from typing import Annotated

import typer
from rich.console import Console

from domains.customers import service as customers
from domains.customers.service import Contact, ShownMessage
from wapsi.cli.settings import load_settings
from wapsi.cli.work import in_transaction
from wapsi.config import Environment, Settings
from wapsi.db import WriteSession
from wapsi.security.signing import Keys

console = Console(stderr=True)
_LOOK_EVERY_S = 0.2


def command(
    to: Annotated[str | None, typer.Option(help="An e-mail address or a mobile number; default: all.")] = None,
    code: Annotated[bool, typer.Option("--code", help="Only the code of the latest one, for scripts.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the first one.", min=0, max=60)] = 5.0,
) -> None:
    """Show the latest e-mails and text messages that development did not send, the newest first."""
    if load_settings().environment is Environment.PRODUCTION:
        console.print("[red]In production messages are sent, and kept nowhere.[/red]")
        raise typer.Exit(2)
    recipient = None
    if to is not None:
        recipient = Contact.of(email=to, phone=None) if "@" in to else Contact.of(email=None, phone=to)
    until_s = time.monotonic() + wait_s
    while True:
        found = [one for one in _look(recipient, limit) if one.code is not None or not code]
        if found or time.monotonic() >= until_s:
            break
        time.sleep(_LOOK_EVERY_S)
    if not found:
        console.print("There is no such message.")
        raise typer.Exit(1)
    if code:
        print(found[0].code)
        return
    for message in found:
        print(f"{message.at:%Y-%m-%d %H:%M:%S}  {message.channel} to {message.recipient}  ({message.state})")
        print(f"{message.subject}\n{message.text}\n")


def _look(recipient: Contact | None, limit: int) -> list[ShownMessage]:
    async def work(session: WriteSession, settings: Settings) -> list[ShownMessage]:
        keys = await asyncio.to_thread(Keys, settings)
        return await customers.list_messages(session, keys, limit=limit, recipient=recipient)

    return in_transaction(work)
