"""The PostgreSQL and the Valkey of a test run."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wapsi.embedded import EmbeddedPostgres, EmbeddedValkey
from wapsi.migrations import run as migrations

TEMPLATE = "template_wapsi"
APP_ROLE = "wapsi_app"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where this run's servers are. `postgres_url` says DATABASE and USER; `valkey_urls` has one a test process."""

    postgres_url: str
    valkey_urls: tuple[str, ...]

    def database(self, name: str, user: str = APP_ROLE) -> str:
        return self.postgres_url.replace("DATABASE", name).replace("USER", user)


class Owner:
    """Starts the servers in the process that runs pytest; xdist's workers are told where they are."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wapsi-tests-"))
        self.postgres = EmbeddedPostgres(self.folder, durable=False, max_connections=200)
        self.valkey = EmbeddedValkey(self.folder, persist=False)
        self.postgres.start()
        self.valkey.start()
        url = self.postgres.url(TEMPLATE, "postgres")
        self.postgres.ensure_database(TEMPLATE)
        asyncio.run(migrations.upgrade(url))
        urls = tuple(self.valkey.url(number) for number in range(16))
        self.servers = Servers(self.postgres.url("DATABASE", "USER"), urls)

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()
        self.postgres.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
