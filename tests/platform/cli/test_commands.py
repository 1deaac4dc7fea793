"""The command line says what it can do, migrates both ways, and ends in words where something is missing."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from wapsi.cli import main
from wapsi.config import Settings
from wapsi.heartbeat import STALE_AFTER_S, Heartbeat, is_fresh
from wapsi.migrations import run as migrations

Run = Callable[..., Result]
Environment = dict[str, str]
NOWHERE = "postgresql+asyncpg://wapsi_app@/wapsi?host=/nowhere"
PROCESSES = ("up", "serve", "worker", "scheduler", "migrate", "doctor", "heartbeat")
COMMANDS = (*PROCESSES, "feed", "ledger", "operator", "producer", "postback", "sales")


def test_help_lists_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    listed = {line.strip("│ ").partition(" ")[0] for line in result.output.splitlines()}
    assert listed >= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_without_a_configuration(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_without_a_command_it_says_what_there_is(run: Run) -> None:
    assert "doctor" in run().output


def test_a_command_that_is_not_there_is_said(run: Run) -> None:
    result = run("make-money")
    assert result.exit_code == 2
    assert "make-money" in result.output


async def test_migrate_goes_up_and_down(run: Run, environment: Environment, own_settings: Settings) -> None:
    head = migrations.head_revision()
    own = environment | {"WAPSI_DATABASE_MIGRATION_URL": own_settings.migration_url}

    async def migrate(*arguments: str) -> str:
        result = await asyncio.to_thread(run, "migrate", *arguments, **own)
        assert result.exit_code == 0, result.output
        return result.output.strip()

    assert await migrate() == f"The schema is at revision {head} already."
    assert await migrate("0001", "--down") == f"Migrated from {head} to 0001."
    assert await migrate("base", "--down") == "Migrated from 0001 to an empty schema."
    assert await migrate("base", "--down") == "The schema is at revision base already."
    assert await migrate() == f"Migrated from an empty schema to {head}."


def test_a_command_without_its_settings_says_which_and_points_to_the_doctor(run: Run) -> None:
    result = run("migrate")
    assert result.exit_code == 2
    for name in ("WAPSI_DATABASE_URL", "WAPSI_SECRET_KEY", "WAPSI_SIGNING_KEY"):
        assert f"{name} is not set" in result.output
    assert "wapsi doctor" in result.output


@pytest.fixture
def main_with(monkeypatch: pytest.MonkeyPatch, environment: Environment, run: Run) -> Callable[..., int]:
    """Runs the command as a shell would, and returns its exit code."""

    def main_with(*arguments: str, **changed: str) -> int:
        for name in [name for name in os.environ if name.startswith("WAPSI_")]:
            monkeypatch.delenv(name)
        for name, value in (environment | changed).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["wapsi", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return main_with


@pytest.mark.parametrize("url", [NOWHERE, "postgresql+asyncpg://wapsi_app@127.0.0.1:1/wapsi"])
def test_a_server_that_does_not_answer_ends_a_command_in_words(
    main_with: Callable[..., int], capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert main_with("migrate", WAPSI_DATABASE_MIGRATION_URL=url) == 3
    words = capsys.readouterr().err
    assert "A server that this needs did not answer" in words
    assert "wapsi doctor" in words
    assert "Traceback" not in words


def test_pools_that_exceed_the_server_keep_a_worker_from_starting(
    main_with: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wapsi.cli.roles._start", lambda _role: (Settings(), None))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    pools = {"WAPSI_DATABASE_POOL_SIZE": "200", "WAPSI_DATABASE_PROCESSES": "20"}
    assert main_with("worker", **pools) == 2
    words = capsys.readouterr().err
    assert "Refused to start" in words
    assert "WAPSI_DATABASE_POOL_SIZE" in words


def test_the_heartbeat_of_a_process_that_is_well_is_fresh(run: Run, environment: Environment, tmp_path: Path) -> None:
    file = tmp_path / "beat"
    heartbeat = Heartbeat(file)
    heartbeat.start()
    while not file.exists():
        time.sleep(0.01)
    assert run("heartbeat", **environment, WAPSI_HEARTBEAT_FILE=str(file)).exit_code == 0
    heartbeat.stop()
    assert run("heartbeat", **environment, WAPSI_HEARTBEAT_FILE=str(file)).exit_code == 1, "it has stopped"


def test_a_heartbeat_grows_stale(tmp_path: Path) -> None:
    file = tmp_path / "beat"
    assert not is_fresh(file)
    file.touch()
    assert is_fresh(file)
    old = time.time() - STALE_AFTER_S - 1
    os.utime(file, (old, old))
    assert not is_fresh(file)


def test_asking_for_a_heartbeat_that_is_not_configured_is_said(run: Run, environment: Environment) -> None:
    result = run("heartbeat", **environment)
    assert result.exit_code == 2
    assert "WAPSI_HEARTBEAT_FILE is not set" in result.output
