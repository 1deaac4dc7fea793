"""`wapsi producer`: the systems that push feeds and sales, and their keys."""

import sys
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from domains.customers import service as customers
from domains.customers.service import DEFAULT_OVERLAP, LONGEST_OVERLAP, NewKey, ProducerKeyRef, ProducerRef
from domains.merchants import service as merchants
from wapsi.cli.work import in_transaction
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import WriteSession
from wapsi.security.permissions import PRODUCER_PERMISSIONS, Permission

app = typer.Typer(help="Systems that push feeds and sales.", no_args_is_help=True)
# Keys go to standard output alone.
console = Console(stderr=True)
_LISTED = 200

ExpiresInDays = Annotated[int | None, typer.Option(min=1, max=3650, help="Of the new key; default: never.")]


@app.command("add")
def add(
    name: str,
    merchant: Annotated[list[str], typer.Option(help="A merchant's slug; repeatable.")],
    scope: Annotated[
        list[Permission] | None, typer.Option(help="What the key may do; repeatable. Default: all a producer may.")
    ] = None,
    expires_in_days: ExpiresInDays = None,
    certificate_sha256: Annotated[
        str | None, typer.Option(help="Fingerprint of the only client certificate that the key is good with.")
    ] = None,
) -> None:
    """Make a producer with a key for some merchants. The key is printed once, on standard output."""
    wanted = NewKey(
        scopes=frozenset(scope) if scope else PRODUCER_PERMISSIONS,
        expires_at=_in_days(expires_in_days),
        certificate_sha256=_fingerprint(certificate_sha256),
    )

    async def work(session: WriteSession, settings: Settings) -> str:
        ids = [(await merchants.get_merchant(session, slug)).id for slug in merchant]
        _producer, key = await customers.create_producer(session, name, ids, key=wanted)
        return key

    print(in_transaction(work))


@app.command("list")
def list_all() -> None:
    """All producers and their keys; of a key only its prefix is known."""

    async def work(session: WriteSession, settings: Settings) -> list[ProducerRef]:
        return await customers.list_producers(session, limit=_LISTED)

    table = Table(box=None, pad_edge=False)
    for heading in ("producer", "name", "key", "state", "scopes", "last used"):
        table.add_column(heading, no_wrap=heading in ("producer", "key"))
    for producer in in_transaction(work):
        for number, key in enumerate(producer.keys):
            name = (str(producer.id), producer.name) if number == 0 else ("", "")
            scopes = ", ".join(sorted(key.scopes))
            table.add_row(*name, key.prefix, _state(producer, key), scopes, _day(key.last_used_at))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@app.command("rotate")
def rotate(
    producer_id: UUID,
    key_prefix: Annotated[str | None, typer.Option("--key", help="The prefix of the key; default: the newest.")] = None,
    overlap_s: Annotated[
        int, typer.Option(min=0, max=LONGEST_OVERLAP, help="How long the key before stays good; 0: not at all.")
    ] = DEFAULT_OVERLAP,
    expires_in_days: ExpiresInDays = None,
) -> None:
    """Replace a key. The new one is printed once, on standard output."""

    async def work(session: WriteSession, settings: Settings) -> str:
        _producer, key = await customers.rotate_producer(
            session, producer_id, key_prefix=key_prefix, overlap_s=overlap_s, expires_at=_in_days(expires_in_days)
        )
        return key

    print(in_transaction(work))


@app.command("revoke")
def revoke(
    producer_id: UUID,
    key_prefix: Annotated[str | None, typer.Option("--key", help="Only the key with this prefix.")] = None,
) -> None:
    """End a producer, or one of its keys, for good."""

    async def work(session: WriteSession, settings: Settings) -> ProducerRef:
        if key_prefix is None:
            return await customers.revoke_producer(session, producer_id)
        return await customers.revoke_producer_key(session, producer_id, key_prefix)

    name = in_transaction(work).name
    what = "All keys of" if key_prefix is None else f"The key {key_prefix} of"
    console.print(f"{what} {name}: refused from now on.")


def _in_days(days: int | None) -> datetime | None:
    return None if days is None else now() + timedelta(days=days)


def _fingerprint(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        fingerprint = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        fingerprint = b""
    if len(fingerprint) != 32:
        raise typer.BadParameter("A SHA-256 fingerprint has 64 hexadecimal digits.")
    return fingerprint


def _state(producer: ProducerRef, key: ProducerKeyRef) -> str:
    if producer.revoked_at is not None or key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "good"
    return f"until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at > now() else "expired"


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
