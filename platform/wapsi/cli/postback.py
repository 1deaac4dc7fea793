"""`wapsi postback send`: reports a sale as an affiliate network would, signed. For integrators and the demo."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import httpx2
import typer
from rich.console import Console

from domains.cashback import service as cashback
from wapsi.cli.demo import read_demo

app = typer.Typer(help="Report sales as an affiliate network does.", no_args_is_help=True)
console = Console(stderr=True)


@app.callback()
def _group() -> None:
    """Keeps `send` a subcommand."""


@app.command()
def send(
    click_id: Annotated[str, typer.Option(help="From the merchant's link, or the answer of POST /v1/clicks.")],
    order_id: Annotated[str, typer.Option(help="The network's id of the sale.")],
    amount_minor: Annotated[int, typer.Option(help="The order's amount in minor units.", min=1)],
    commission_minor: Annotated[int, typer.Option(help="What the network pays us, in minor units.", min=0)],
    status: Annotated[str, typer.Option(help="The network's word, such as pending, approved or declined.")] = "pending",
    currency: Annotated[str, typer.Option()] = "PKR",
    reason: Annotated[str, typer.Option(help="Why it was declined.")] = "",
    network: Annotated[str | None, typer.Option(help="Default: the demo's.")] = None,
    secret: Annotated[
        str | None, typer.Option(envvar="WAPSI_POSTBACK_SECRET", help="whsec_…; default: the demo's.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the API is; default: the demo's.")] = None,
) -> None:
    """Sign a sale by Standard Webhooks and post it. Prints the answer as JSON."""
    demo = read_demo()
    network = network or demo.get("network")
    secret = secret or demo.get("postback_secret")
    url = url or demo.get("http_url")
    if not network or not secret or not url:
        console.print("[red]Give --network, --secret and --url, or run this beside `wapsi up`.[/red]")
        raise typer.Exit(2)
    event: dict[str, Any] = {
        "conversion_id": order_id,
        "click_id": click_id,
        "status": status,
        "order_amount_minor": amount_minor,
        "commission_minor": commission_minor,
        "currency": currency,
        "occurred_at": datetime.now(UTC).isoformat(),
    }
    if reason:
        event["reason"] = reason
    body = json.dumps(event).encode()
    headers = cashback.sign_postback(secret, f"msg_{uuid4().hex}", int(time.time()), body)
    headers["Content-Type"] = "application/json"
    try:
        answer = httpx2.post(f"{url}/v1/postbacks/{network}", content=body, headers=headers, timeout=10)
    except httpx2.TransportError as error:
        console.print(f"[red]{url} did not answer:[/red] {error}")
        raise typer.Exit(3) from None
    print(answer.text)
    if answer.is_error or answer.json().get("outcome") not in ("applied", "ignored"):
        raise typer.Exit(1)
