"""The product on a database full of offers, with telemetry going out, and what the load asks of it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.benchmarks import reads_programs as programs
from tests.benchmarks.bench import Bench
from tests.benchmarks.load.lists import Data, read_data
from tests.benchmarks.load.wrk import require_wrk
from tests.benchmarks.population import DATABASE, KeptServers, populated
from tests.benchmarks.population_fill import PASSWORD, email_of
from tests.benchmarks.population_memory import bring_into_memory
from tests.benchmarks.product import ROLES, Product, ProductBroken

SECONDS = 10
CUSTOMERS = 200
# Signed in once: the tokens must outlive all runs.
_TOKEN_TTL_S = 86_400
_KEYS = ("WAPSI_SECRET_KEY", "WAPSI_SIGNING_KEY", "WAPSI_PUBLIC_URL")


class StagedProduct(Product):
    """`name` tells it from another on the same database; `twin` gives it that one's keys, so that tokens count in both.

    `collector` is where telemetry goes; without one there is none.
    """

    def __init__(
        self,
        servers: KeptServers,
        name: str,
        *,
        roles: Sequence[str] = ROLES,
        collector: str | None = None,
        twin: Product | None = None,
    ) -> None:
        super().__init__(servers, DATABASE, roles=roles)
        self._folder = servers.folder / name
        self.environment["WAPSI_ACCESS_TOKEN_TTL_S"] = str(_TOKEN_TTL_S)
        if collector is None:
            self.environment["WAPSI_TELEMETRY_ENABLED"] = "false"
        else:
            self.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
        if twin is not None:
            self.environment |= {key: twin.environment[key] for key in _KEYS}


@dataclass(frozen=True, slots=True)
class Stage:
    """`collector` answers whatever telemetry it is sent; `bare_url` whatever it is asked."""

    servers: KeptServers
    product: StagedProduct
    collector: str
    bare_url: str
    data: Data

    @property
    def folder(self) -> Path:
        return self.servers.folder

    def paths(self, name: str, paths: Sequence[str]) -> Path:
        """A file of them, for wrk."""
        file = self.folder / f"{name}.txt"
        file.write_text("\n".join(paths) + "\n", encoding="utf-8")
        return file

    async def tokens(self, count: int = CUSTOMERS) -> list[str]:
        """Of as many customers, signed in as people do. Raises ProductBroken."""

        async def sign_in(number: int) -> str:
            answer = await self.product.http.post(
                "/v1/sessions", json={"email": email_of(number), "password": PASSWORD}
            )
            if answer.status_code != 201:
                raise ProductBroken(f"Nobody can sign in: {answer.status_code} {answer.text[:300]}")
            return str(answer.json()["access_token"])

        found: list[str] = []
        for first in range(1, count + 1, 8):
            found += await asyncio.gather(*(sign_in(number) for number in range(first, min(first + 8, count + 1))))
        return found

    async def require_writes(self, token: str) -> None:
        """One click and one change of an account. Raises ProductBroken with the answer to one that fails."""
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid.uuid4())}
        bodies = {"POST /v1/clicks": {"offer_id": self.data.offer_ids[0]}, "PATCH /v1/me": {"locale": "en"}}
        for request, body in bodies.items():
            method, path = request.split()
            answer = await self.product.http.request(method, path, headers=headers, json=body)
            if answer.status_code not in (200, 201):
                raise ProductBroken(f"{request}: {answer.status_code} {answer.text[:300]}")

    async def require(self, paths: Sequence[str]) -> None:
        """Asks each once. Raises ProductBroken unless it is answered with 200: what fails would be fast."""
        for path in paths:
            answer = await self.product.http.get(path)
            if answer.status_code != 200:
                raise ProductBroken(f"GET {path}: {answer.status_code} {answer.text[:300]}")


@contextlib.asynccontextmanager
async def stage(bench: Bench, offers: int | None = None, *, name: str = "staged") -> AsyncIterator[Stage]:
    """On a database of `offers` (the bars': as many as ING6 has), made where it is not there yet. Raises Skipped."""
    require_wrk()
    size = bench.options.scale if offers is None else offers
    bench.say(f"PostgreSQL with {size:,} offers, Valkey, {', '.join(ROLES)}, a collector")
    with bench.folder() as folder:
        async with populated(folder, size, console := Console()) as servers:
            await asyncio.to_thread(bring_into_memory, servers.postgres, DATABASE, console)
            with programs.bare(folder, "collector") as collector, programs.bare(folder) as bare_url:
                async with StagedProduct(servers, name, collector=collector) as product:
                    yield Stage(servers, product, collector, bare_url, await read_data(product.admin))


def seconds_of(bench: Bench) -> float:
    """Of one run; short ones while the benchmarks themselves are worked on."""
    return SECONDS if bench.options.are_the_bars else SECONDS / 2
