"""Other loading tools, each run as its users run it: installed apart, started as a process, on the same file."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.benchmarks.paths import BENCH

_PROGRAMS = Path(__file__).with_name("peer_programs")
_LIMIT_S = 600


class PeerMissing(Exception):
    """It cannot be installed or run here, and why."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a peer is given: the feed as JSON Lines and CSV, a database by its socket's folder, a folder to work in."""

    jsonl: Path
    csv: Path
    socket_folder: Path
    database: str
    folder: Path


class Peer(ABC):
    """Loads into `SCHEMA.offers`, whose key is the sku. `name` is its schema too."""

    name: str
    # Before its first run, for a tool that expects the tables to be there.
    tables = ""

    @abstractmethod
    def install(self) -> None:
        """At first use. Raises PeerMissing."""

    @abstractmethod
    def pipeline(self, place: Place) -> Sequence[Sequence[str]]:
        """The programs of one load, each reading what the one before writes; files that they need are written."""

    def load(self, place: Place) -> float:
        """Runs it to its end; the seconds from its start. Raises PeerMissing with the end of what it said."""
        commands = self.pipeline(place)
        log_path = place.folder / f"{self.name}.log"
        with log_path.open("wb") as log:
            started_s = time.perf_counter()
            processes: list[subprocess.Popen[bytes]] = []
            for position, command in enumerate(commands):
                before = processes[-1].stdout if processes else subprocess.DEVNULL
                last = position == len(commands) - 1
                output = log if last else subprocess.PIPE
                processes.append(
                    subprocess.Popen(command, stdin=before, stdout=output, stderr=log, cwd=place.folder, env=_clean())
                )
                if processes[:-1]:
                    _close(processes[-2])
            try:
                statuses = [process.wait(_LIMIT_S) for process in processes]
            except subprocess.TimeoutExpired:
                raise PeerMissing(f"{self.name} did not end within {_LIMIT_S} s") from None
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
            took_s = time.perf_counter() - started_s
        if any(statuses):
            lines = log_path.read_text(errors="replace").splitlines()[-8:]
            raise PeerMissing(f"{self.name} ended with status {statuses}: " + "\n".join(lines))
        return took_s


class Dlt(Peer):
    name = "dlt"

    def install(self) -> None:
        self._python = _venv("dlt", "dlt[postgres]==1.31.0") / "python"

    def pipeline(self, place: Place) -> Sequence[Sequence[str]]:
        program = str(_PROGRAMS / "dlt_merge.py")
        work_folder = str(place.folder / "dlt")
        return [
            [
                str(self._python),
                program,
                str(place.jsonl),
                str(place.socket_folder),
                place.database,
                self.name,
                work_folder,
            ]
        ]


class Singer(Peer):
    """A tap for JSON Lines, and the faster of the two targets in use: COPY into a temporary table, then an upsert."""

    name = "singer"

    def install(self) -> None:
        self._tap = _venv("tap-jsonl", "tap-jsonl==0.3.1") / "tap-jsonl"
        self._target = _venv("target-postgres", "pipelinewise-target-postgres==2.1.2") / "target-postgres"

    def pipeline(self, place: Place) -> Sequence[Sequence[str]]:
        tap_config = {"path": str(place.jsonl), "stream_name": "offers", "primary_keys": ["sku"]}
        target_config = {
            "host": str(place.socket_folder),
            "port": 5432,
            "user": "postgres",
            "password": "unused",
            "dbname": place.database,
            "default_target_schema": self.name,
        }
        tap_file, target_file = place.folder / "tap.json", place.folder / "target.json"
        tap_file.write_text(json.dumps(tap_config))
        target_file.write_text(json.dumps(target_config))
        return [[str(self._tap), "--config", str(tap_file)], [str(self._target), "--config", str(target_file)]]


class PgLoader(Peer):
    name = "pgloader"
    _columns = (
        "sku text PRIMARY KEY, name text, name_zh text, price numeric, currency text, url text, image_url text,"
        " brand text, category_zh text, stock text"
    )
    tables = (
        f"CREATE TABLE pgloader.offers ({_columns});"
        f"CREATE UNLOGGED TABLE pgloader.incoming ({_columns.replace(' PRIMARY KEY', '')})"
    )

    def install(self) -> None:
        if shutil.which("pgloader") is None:
            _install_package("pgloader")

    def pipeline(self, place: Place) -> Sequence[Sequence[str]]:
        template = Template((_PROGRAMS / "pgloader_upsert.load").read_text())
        values = {"FILE": place.csv, "SOCKET_FOLDER": place.socket_folder, "DATABASE": place.database}
        commands = place.folder / "pgloader.load"
        commands.write_text(template.substitute(values))
        return [["pgloader", "--root-dir", str(place.folder / "pgloader"), str(commands)]]


class Django(Peer):
    name = "django"

    def install(self) -> None:
        self._python = _venv("django", "django==5.2.19", "psycopg[binary]==3.3.9") / "python"

    def pipeline(self, place: Place) -> Sequence[Sequence[str]]:
        program = str(_PROGRAMS / "django_upsert.py")
        return [[str(self._python), program, str(place.jsonl), str(place.socket_folder), place.database, self.name]]


def _venv(name: str, *requirements: str) -> Path:
    """The programs' folder of a virtual environment with these packages. Raises PeerMissing."""
    folder = BENCH / "peers" / name
    mark = folder / "installed"
    wanted = hashlib.sha256(repr((requirements, sys.version_info[:2])).encode()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _run([sys.executable, "-m", "venv", str(folder)])
            _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements])
        except PeerMissing:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        mark.write_text(wanted)
    return folder / "bin"


def _install_package(name: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PeerMissing(f"{name} is not installed (Debian's package {name})")
    try:
        _run(["apt-get", "install", "--yes", "--no-install-recommends", name])
    except PeerMissing:
        # The list of packages may be old, or was never fetched.
        _run(["apt-get", "update"])
        _run(["apt-get", "install", "--yes", "--no-install-recommends", name])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**_clean(), "DEBIAN_FRONTEND": "noninteractive"}
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise PeerMissing(f"{' '.join(command[:4])} ... ended with status {done.returncode}: {said}")


def _clean() -> dict[str, str]:
    """The peers are not to see our packages, nor the databases of the person who runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PG", "WAPSI_"))}


def _close(process: subprocess.Popen[bytes]) -> None:
    """Our copy of its output: the one who reads it must see its end."""
    assert process.stdout is not None
    process.stdout.close()


PEERS: tuple[type[Peer], ...] = (Dlt, Singer, PgLoader, Django)
