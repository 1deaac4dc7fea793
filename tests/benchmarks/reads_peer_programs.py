"""Other frameworks' listings, each installed apart and served as its users serve it, by one process."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.paths import BENCH
from tests.benchmarks.peers import PeerMissing, _clean, _run, _venv

PROGRAMS = Path(__file__).with_name("peer_programs")
_UVICORN = "uvicorn[standard]==0.54.0"
_SQLALCHEMY = ("sqlalchemy[asyncio]==2.1.9", "asyncpg==0.32.0")
_DJANGO = ("django==5.2.19", "psycopg[binary]==3.3.9", "gunicorn==27.0.1")


class ListingPeer(ABC):
    """Answers `/offers?limit=&before=&merchant=` with what GET /v1/offers has, the newest first."""

    name: str
    packages: Sequence[str]

    @abstractmethod
    def install(self) -> None:
        """At first use. Raises PeerMissing."""

    @abstractmethod
    def command(self, port: int) -> Sequence[str]: ...

    def environment(self, socket_folder: Path, database: str) -> dict[str, str]:
        return {**_clean(), "PEER_SOCKET_FOLDER": str(socket_folder), "PEER_DATABASE": database}


class _PythonPeer(ListingPeer):
    program: str

    def install(self) -> None:
        self._bin = _venv(self.program.replace("_", "-"), *self.packages)


class _AsgiPeer(_PythonPeer):
    def command(self, port: int) -> Sequence[str]:
        options = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--app-dir", str(PROGRAMS)]
        return [str(self._bin / "uvicorn"), f"{self.program}:app", *options]


class _DjangoPeer(_PythonPeer):
    def command(self, port: int) -> Sequence[str]:
        options = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread", "--threads", "4"]
        return [str(self._bin / "gunicorn"), f"{self.program}:application", *options, "--chdir", str(PROGRAMS)]

    def environment(self, socket_folder: Path, database: str) -> dict[str, str]:
        return {**super().environment(socket_folder, database), "PEER_URLS": self.program}


class FastApi(_AsgiPeer):
    name = "FastAPI, SQLAlchemy ORM"
    program = "listing_fastapi"
    packages = ("fastapi==0.165.0", *_SQLALCHEMY, _UVICORN)


class Litestar(_AsgiPeer):
    name = "Litestar, SQLAlchemy ORM"
    program = "listing_litestar"
    packages = ("litestar==2.25.0", *_SQLALCHEMY, _UVICORN)


class DjangoRest(_DjangoPeer):
    name = "Django REST framework"
    program = "listing_drf"
    packages = ("djangorestframework==3.18.3", *_DJANGO)


class DjangoNinja(_DjangoPeer):
    name = "django-ninja"
    program = "listing_ninja"
    packages = ("django-ninja==1.7.1", *_DJANGO)


class Fastify(ListingPeer):
    """Node's packages go to `.bench/peers/node`, by the versions in package.json."""

    name = "Fastify, pg"
    packages = ("fastify 5.12.8", "pg 8.23.1")

    def install(self) -> None:
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise PeerMissing("node and npm are not installed")
        self._folder = BENCH / "peers" / "node"
        wanted = (PROGRAMS / "node" / "package.json").read_text()
        mark = self._folder / "installed"
        if not mark.exists() or mark.read_text() != wanted:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            (self._folder / "package.json").write_text(wanted)
            _run(["npm", "install", "--prefix", str(self._folder), "--no-audit", "--no-fund", "--no-package-lock"])
            mark.write_text(wanted)
        # Where Node looks for the packages beside it.
        shutil.copyfile(PROGRAMS / "node" / "listing.js", self._folder / "listing.js")

    def command(self, port: int) -> Sequence[str]:
        return [str(shutil.which("node")), str(self._folder / "listing.js"), str(port)]

    def environment(self, socket_folder: Path, database: str) -> dict[str, str]:
        return {**super().environment(socket_folder, database), "NODE_ENV": "production"}


PYTHON_PEERS: tuple[type[ListingPeer], ...] = (FastApi, Litestar, DjangoRest, DjangoNinja)
