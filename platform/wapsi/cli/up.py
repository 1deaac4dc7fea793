"""`wapsi up`: everything on this machine, with the sample merchants, until Ctrl-C."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from wapsi.cli.demo import forget_environment, state_folder, write_environment
from wapsi.cli.seed import seed
from wapsi.cli.welcome import print_welcome
from wapsi.config import Settings
from wapsi.embedded import (
    Child,
    EmbeddedError,
    EmbeddedPostgres,
    EmbeddedValkey,
    Event,
    EventKind,
    StateFolder,
    Supervisor,
    ensure_port_free,
)
from wapsi.errors import DomainError
from wapsi.migrations import run as migrations
from wapsi.migrations.grants import APP_ROLE
from wapsi.producer import SyncRejected
from wapsi.security.signing import new_signing_key
from wapsi.telemetry.settings import TARGETS_VARIABLE

console = Console(stderr=True)
DATABASE = "wapsi"
T = TypeVar("T")
_HTTP_PORT = 8000
_GRPC_PORT = 50051
_METRICS_PORT = 9464
# Children of a run that was killed may still be finishing their last requests.
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    http: int
    grpc: int
    metrics: dict[str, int]


def command(
    http_port: Annotated[int, typer.Option(envvar="WAPSI_HTTP_PORT", help="REST.")] = _HTTP_PORT,
    grpc_port: Annotated[int, typer.Option(envvar="WAPSI_GRPC_PORT", help="gRPC.")] = _GRPC_PORT,
    metrics_port: Annotated[
        int,
        typer.Option(
            envvar="WAPSI_METRICS_PORT",
            help="What is measured of REST and gRPC; of worker and scheduler on the next two. Free ones where taken.",
        ),
    ] = _METRICS_PORT,
    samples: Annotated[bool, typer.Option(help="Bring the sample merchants in.")] = True,
) -> None:
    """Start everything here: Postgres, Valkey, REST, gRPC, worker, scheduler, and the sample merchants."""
    try:
        asyncio.run(_up(Ports(http_port, grpc_port, metrics_ports(metrics_port)), samples=samples))
    except EmbeddedError as error:
        console.print(f"[red]Could not start:[/red] {error}")
        raise typer.Exit(1) from None
    except (DomainError, SyncRejected) as error:
        console.print(f"[red]The sample merchants could not be made:[/red] {error}")
        raise typer.Exit(1) from None


async def _up(ports: Ports, *, samples: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    started_s = time.perf_counter()
    with StateFolder(state_folder()) as state:
        ensure_port_free(ports.http, "WAPSI_HTTP_PORT", patience_s=_PATIENCE_S)
        ensure_port_free(ports.grpc, "WAPSI_GRPC_PORT", patience_s=_PATIENCE_S)
        postgres = EmbeddedPostgres(state.path, on_notice=_notice)
        valkey = EmbeddedValkey(state.path, on_notice=_notice)
        try:
            await asyncio.to_thread(postgres.ensure_initialised)
            await asyncio.to_thread(valkey.ensure_initialised)
            # Ours and, inherited, the children's.
            values = configuration(state, postgres, valkey, ports)
            os.environ.update(values)
            write_environment(values)
            settings = Settings()
            children = [postgres.child(), valkey.child(), *_roles(state, postgres, settings, ports)]
            supervisor = Supervisor(children, _show_event)
            work = asyncio.ensure_future(_run(supervisor, settings, state, samples=samples, started_s=started_s))
            await _first(work, stop)
        finally:
            forget_environment()
            valkey.close()
            postgres.close()


async def _first(work: "asyncio.Future[None]", stop: asyncio.Event) -> None:
    """Until Ctrl-C, or until the work fails; the work is always ended before this returns."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not work.done():
        console.print("\nStopping…")
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            await work
        console.print("[green]Stopped.[/green] The state is kept; the next start takes seconds.")
        return
    await work


async def _run(
    supervisor: Supervisor, settings: Settings, state: StateFolder, *, samples: bool, started_s: float
) -> None:
    async with supervisor:
        if samples:
            seeding = seed(settings, state.path / "samples")
            print_welcome(await _unless_failing(supervisor, seeding), seconds=time.perf_counter() - started_s)
        else:
            console.print(f"[green]Ready[/green] on {settings.public_url} (no samples).")
        await supervisor.wait()


async def _unless_failing(supervisor: Supervisor, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. Raises EmbeddedError as soon as a child is given up."""
    running = asyncio.ensure_future(work)
    failing = asyncio.ensure_future(supervisor.wait())
    try:
        await asyncio.wait((running, failing), return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            await failing
        return await running
    finally:
        running.cancel()
        failing.cancel()


def configuration(
    state: StateFolder, postgres: EmbeddedPostgres, valkey: EmbeddedValkey, ports: Ports
) -> dict[str, str]:
    """Settings that point to this state folder."""
    return {
        "WAPSI_DATABASE_URL": postgres.url(DATABASE, APP_ROLE),
        "WAPSI_DATABASE_MIGRATION_URL": postgres.url(DATABASE),
        "WAPSI_QUEUE_URL": valkey.url(),
        # Everything must have stopped after five seconds, the servers behind us too.
        "WAPSI_SHUTDOWN_GRACE_S": "2.5",
        "WAPSI_PUBLIC_URL": f"http://127.0.0.1:{ports.http}",
        "WAPSI_HTTP_PORT": str(ports.http),
        "WAPSI_GRPC_PORT": str(ports.grpc),
        # Here one looks at every request; production samples.
        "WAPSI_TRACE_SAMPLE_RATIO": os.environ.get("WAPSI_TRACE_SAMPLE_RATIO", "1"),
        TARGETS_VARIABLE: ",".join(f"{role}=http://127.0.0.1:{port}/metrics" for role, port in ports.metrics.items()),
        "WAPSI_SECRET_KEY": state.secret("secret_key", lambda: secrets.token_urlsafe(48)),
        "WAPSI_SIGNING_KEY": state.secret("signing_key", new_signing_key),
    }


def _roles(state: StateFolder, postgres: EmbeddedPostgres, settings: Settings, ports: Ports) -> list[Child]:
    migrating = threading.Lock()
    migrated = threading.Event()

    def prepare() -> None:
        """Before the first start of any of them: the schema that they need."""
        with migrating:
            if not migrated.is_set():
                postgres.ensure_database(DATABASE)
                asyncio.run(migrations.upgrade(settings.migration_url))
                migrated.set()

    serve = Child(
        name="serve",
        command=_command("serve"),
        env={**os.environ, "WAPSI_METRICS_PORT": str(ports.metrics["serve"])},
        log_path=state.logs / "serve.log",
        ready=_answers(f"{settings.public_url}/readyz"),
        before_start=prepare,
        after=("postgres", "valkey"),
    )
    return [serve, *(_background_role(state, name, prepare, ports.metrics[name]) for name in ("worker", "scheduler"))]


def metrics_ports(first: int) -> dict[str, int]:
    """By process: the first and the next two, or others where those are taken; nothing shall fail for a page of
    figures."""
    with contextlib.ExitStack() as held:
        return {role: _free_port(first + number, held) for number, role in enumerate(("serve", "worker", "scheduler"))}


def _free_port(wanted: int, held: contextlib.ExitStack) -> int:
    """Held until all are found, so that no two are the same."""
    for port in (wanted, 0):
        probe = held.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return int(probe.getsockname()[1])
    raise EmbeddedError("No port is free on 127.0.0.1.")


def _command(role: str) -> list[str]:
    return [sys.executable, "-m", "wapsi.cli.roles", role]


def _background_role(state: StateFolder, name: str, prepare: Callable[[], None], metrics_port: int) -> Child:
    heartbeat = state.path / f"{name}.heartbeat"

    async def is_ready() -> bool:
        return heartbeat.exists()

    def before_start() -> None:
        heartbeat.unlink(missing_ok=True)
        prepare()

    return Child(
        name=name,
        command=_command(name),
        env={**os.environ, "WAPSI_HEARTBEAT_FILE": str(heartbeat), "WAPSI_METRICS_PORT": str(metrics_port)},
        log_path=state.logs / f"{name}.log",
        ready=is_ready,
        before_start=before_start,
        after=("postgres", "valkey"),
    )


def _answers(url: str) -> Callable[[], Awaitable[bool]]:
    def ask() -> bool:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # a loopback address made here
            return bool(answer.status == 200)

    async def is_ready() -> bool:
        return await asyncio.to_thread(ask)

    return is_ready


def _notice(text: str) -> None:
    console.print(f"[dim]{text}[/dim]", highlight=False)


def _show_event(event: Event) -> None:
    colour = {
        EventKind.READY: "green",
        EventKind.DIED: "yellow",
        EventKind.KILLED: "yellow",
        EventKind.GAVE_UP: "red",
    }.get(event.kind)
    if event.kind is EventKind.STARTED:
        return
    mark = {"green": "✓", "yellow": "!", "red": "✗"}.get(colour or "", "·")
    console.print(f"[{colour or 'dim'}]{mark}[/{colour or 'dim'}] {event}", highlight=False)
