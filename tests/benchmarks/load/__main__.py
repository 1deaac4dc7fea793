"""The mix against any system that runs: requests/s, p50, p99 and what failed.

    python -m tests.benchmarks.load --url https://staging.example --database postgresql://... [--customers FILE]

The database is only read, for requests that its data answers; a replica will do. The file has a customer's e-mail and
password a line, parted by a tab; without one, the customers are those that the population generator makes. What the
load writes are clicks and preferences of these customers. Stay away from real ones.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import httpx2
from rich.console import Console

from tests.benchmarks.load import wrk
from tests.benchmarks.load.lists import read_data, write_mix
from tests.benchmarks.population_fill import PASSWORD, email_of
from tests.benchmarks.reads_mix import KINDS, SHARES
from tests.benchmarks.registry import Skipped

_CUSTOMERS = 200


async def sign_in(url: str, accounts: Sequence[tuple[str, str]]) -> list[str]:
    """Access tokens, which must outlive the load: `WAPSI_ACCESS_TOKEN_TTL_S` says how long they do.

    Raises httpx2.HTTPStatusError.
    """
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        tokens = []
        for email, password in accounts:
            answer = await client.post("/v1/sessions", json={"email": email, "password": password})
            answer.raise_for_status()
            tokens.append(str(answer.json()["access_token"]))
        return tokens


def _accounts(file: Path | None) -> list[tuple[str, str]]:
    if file is None:
        return [(email_of(number), PASSWORD) for number in range(1, _CUSTOMERS + 1)]
    lines = [line.partition("\t") for line in file.read_text(encoding="utf-8").splitlines() if line]
    return [(email, password) for email, _tab, password in lines]


async def run(arguments: argparse.Namespace, console: Console) -> int:
    wrk.require_wrk()
    async with asyncpg.create_pool(arguments.database, min_size=1, max_size=1) as pool:
        data = await read_data(pool)
    console.print(f"signing in at {arguments.url}", style="dim")
    tokens = await sign_in(arguments.url, _accounts(arguments.customers))
    shares = [int(kind == arguments.only) for kind in KINDS] if arguments.only else list(SHARES)
    with tempfile.TemporaryDirectory() as folder:
        lists = write_mix(Path(folder) / "mix.txt", data, tokens)
        measured = await wrk.mix(
            arguments.url,
            lists,
            seconds=arguments.seconds,
            seed=arguments.seed,
            shares=shares,
            connections=arguments.connections,
        )
    console.print(
        f"{measured.rate_per_s:,.0f} requests/s; p50 {measured.p50_ms:.1f} ms, p95 {measured.p95_ms:.1f} ms,"
        f" p99 {measured.p99_ms:.1f} ms, slowest {measured.max_ms:.0f} ms; {measured.errors} of {measured.requests:,}"
        f" failed{f' ({measured.error_words})' if measured.errors else ''}",
        highlight=False,
    )
    return 1 if measured.errors else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="The mix of a shop's day against a system that runs.")
    parser.add_argument("--url", required=True, help="where its API is")
    parser.add_argument("--database", required=True, help="postgresql://... to read what it has; a replica will do")
    parser.add_argument("--customers", type=Path, help="e-mail, tab, password a line; default: the generator's")
    parser.add_argument("--seconds", type=float, default=30, help="default 30")
    parser.add_argument("--connections", type=int, default=wrk.CONNECTIONS, help=f"default {wrk.CONNECTIONS}")
    parser.add_argument("--only", choices=KINDS, help="one kind of request instead of the mix")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other requests; default 1")
    try:
        return asyncio.run(run(parser.parse_args(), Console()))
    except (Skipped, wrk.LoadBroken, OSError, asyncpg.PostgresError, httpx2.HTTPError) as reason:
        sys.exit(f"No load: {reason}")


if __name__ == "__main__":
    sys.exit(main())
