"""The processes. Apart from the other commands, so that one starts without importing what only those use."""

import asyncio
from typing import Annotated

import typer

from wapsi.cli.faults import run
from wapsi.cli.settings import errors, load_settings
from wapsi.config import Settings
from wapsi.heartbeat import is_fresh
from wapsi.migrations import run as migrations
from wapsi.roots.errors import CannotListen
from wapsi.scheduling import answer_soon, give_way
from wapsi.telemetry.logs import configure_logs
from wapsi.telemetry.scrape import MetricsPortTaken, serve_metrics
from wapsi.telemetry.settings import get_telemetry_settings
from wapsi.telemetry.setup import Telemetry

app = typer.Typer(pretty_exceptions_enable=False)


def _start(role: str) -> tuple[Settings, Telemetry]:
    settings = load_settings()
    configure_logs(settings)
    telemetry = Telemetry(role, get_telemetry_settings())
    telemetry.install()
    try:
        serve_metrics(telemetry)
    except MetricsPortTaken as error:
        raise CannotListen(str(error)) from error
    return settings, telemetry


@app.command()
def serve(
    rest: Annotated[bool, typer.Option("--rest", help="REST alone.")] = False,
    grpc: Annotated[bool, typer.Option("--grpc", help="gRPC alone.")] = False,
) -> None:
    """Serve REST and gRPC in one process, or one of them alone."""
    # Imported here: the other commands need not wait for what only this one uses.
    import uvloop

    from wapsi.roots.serve import serve as run

    settings, telemetry = _start("serve")
    both = rest == grpc
    if grpc and not both:
        give_way(settings.worker_nice)  # feeds and reports of sales: no person waits for them
    else:
        answer_soon()
    uvloop.run(run(settings, telemetry, rest=rest or both, grpc=grpc or both))
    telemetry.shutdown()


@app.command()
def worker() -> None:
    """Run jobs from the queue."""
    from wapsi.roots.worker import work

    settings, telemetry = _start("worker")
    work(settings, telemetry)
    telemetry.shutdown()


@app.command()
def scheduler() -> None:
    """Relay due jobs to the queue and enqueue the periodic ones."""
    from wapsi.roots.scheduler import schedule

    settings, telemetry = _start("scheduler")
    give_way(settings.worker_nice)
    asyncio.run(schedule(settings, telemetry))
    telemetry.shutdown()


@app.command()
def migrate(
    revision: Annotated[str, typer.Argument(help="Where to go; downgrades where it lies behind.")] = "head",
    down: Annotated[
        bool, typer.Option("--down", help="Downgrade to the revision ('base' for an empty schema).")
    ] = False,
) -> None:
    """Bring the database's schema up to date, and make the application's role."""
    settings = load_settings()
    step = migrations.downgrade if down else migrations.upgrade
    before, after = asyncio.run(step(settings.migration_url, revision))
    if before == after:
        errors.print(f"The schema is at revision {after or 'base'} already.")
    else:
        errors.print(f"Migrated from {before or 'an empty schema'} to [green]{after or 'an empty schema'}[/green].")


@app.command()
def heartbeat() -> None:
    """Exit with 0 while the worker or scheduler with this configuration is well (for container health checks)."""
    path = load_settings().heartbeat_file
    if path is None:
        errors.print("WAPSI_HEARTBEAT_FILE is not set.")
        raise typer.Exit(2)
    if not is_fresh(path):
        errors.print(f"{path} was not touched lately.")
        raise typer.Exit(1)


if __name__ == "__main__":
    run(app)
