"""ING4: the whole `wapsi feed push` against other loading tools, on the same file, into the same server.

Their tables have what a catalogue needs to be served from: a unique key, two b-trees, and the search column with its
index, as the floor of ING1 has. What they take with the key alone is printed beside it.
"""

import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.feeds import COLUMN_MAPPING, CURRENCY, Feed, require_real_feed
from tests.benchmarks.paths import ROOT, WAPSI
from tests.benchmarks.peers import PEERS, Peer, PeerMissing, Place
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, Skipped, at_least, bar
from tests.benchmarks.servers import Servers

_DATABASE = "peers"
_ADD_INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS offers_sku ON {schema}.offers (sku);
CREATE INDEX offers_price ON {schema}.offers (currency, price);
CREATE INDEX offers_brand ON {schema}.offers (brand);
ALTER TABLE {schema}.offers ADD COLUMN search tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', coalesce(name, '')), 'A')
    || setweight(to_tsvector('simple', coalesce(brand, '') || ' ' || coalesce(sku, '')), 'B')
    || setweight(to_tsvector('simple', left(coalesce(name_zh, ''), 1000)), 'D')) STORED;
CREATE INDEX offers_search ON {schema}.offers USING gin (search);
"""
_DROP_INDEXES = """
DROP INDEX {schema}.offers_price, {schema}.offers_brand;
ALTER TABLE {schema}.offers DROP COLUMN search;
"""


@dataclass(slots=True)
class Times:
    """Seconds of whole processes, a run each."""

    first_s: list[float] = field(default_factory=list)
    unchanged_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{median(self.first_s):.2f} s, unchanged {median(self.unchanged_s):.2f} s"


@bar("ING4")
async def against_peers(bench: Bench) -> Sequence[Row]:
    require_real_feed()
    notes: list[str] = []
    peers = _installed(bench, notes)
    ours, theirs = Times(), {peer.name: Times() for peer in peers}
    searchable_s: list[float] = []
    async with bench.servers() as servers, Product(servers, "wapsi") as product, _place(bench, servers) as place:
        connection, files = place
        peers = [peer for peer in peers if await _is_prepared(bench, connection, peer, files, notes)]
        if not peers:
            raise Skipped(f"no other tool runs here: {'; '.join(notes)}")
        await _push_twice(product, files, "warm-up")
        for run in bench.runs():
            await product.empty_offers()
            first_s, unchanged_s, found_s = await _push_twice(product, files, f"shop-{run}")
            ours.first_s.append(first_s)
            ours.unchanged_s.append(unchanged_s)
            searchable_s.append(found_s)
            bench.say(f"wapsi {first_s:.2f} s, unchanged {unchanged_s:.2f} s")
            for peer in peers:
                await _load_twice(bench, connection, peer, files, theirs[peer.name])
        theirs = {name: times for name, times in theirs.items() if times.first_s}
        notes += [f"{name}: {times}" for name, times in theirs.items()]
        notes.append(f"wapsi: search finds a first load {median(searchable_s):.2f} s after the start")
        notes.append(await _with_the_key_alone(bench, connection, peers, files))
    return [
        _row("ING4", "a feed file, first load", 2.5, ours.first_s, {n: t.first_s for n, t in theirs.items()}, notes),
        _row(
            "ING4-unchanged",
            "the same feed file again",
            8.0,
            ours.unchanged_s,
            {n: t.unchanged_s for n, t in theirs.items()},
        ),
    ]


def _row(
    id: str,
    what: str,
    limit: float,
    ours_s: Sequence[float],
    theirs_s: dict[str, list[float]],
    notes: Sequence[str] = (),
) -> Row:
    medians = {name: median(times) for name, times in theirs_s.items()}
    fastest = min(medians, key=lambda name: medians[name])
    value = median(ours_s)
    ratio = medians[fastest] / value
    words, holds = at_least(limit, ratio)
    return Row(id, what, value, "s", medians[fastest], fastest, ratio, words, holds, notes)


def _installed(bench: Bench, notes: list[str]) -> list[Peer]:
    peers = []
    for kind in PEERS:
        peer = kind()
        bench.say(f"installing {peer.name}, where it is not")
        try:
            peer.install()
        except PeerMissing as reason:
            notes.append(f"{peer.name} is not measured: {reason}")
            bench.say(notes[-1])
        else:
            peers.append(peer)
    return peers


@asynccontextmanager
async def _place(bench: Bench, servers: Servers) -> AsyncIterator[tuple[asyncpg.Connection, Place]]:
    servers.postgres.ensure_database(_DATABASE)
    feed = Feed(bench.options.size)
    files = Place(
        jsonl=feed.write(servers.folder / "feed.jsonl"),
        csv=feed.write(servers.folder / "feed.csv"),
        socket_folder=servers.postgres.socket_dir,
        database=_DATABASE,
        folder=servers.folder,
    )
    connection = await asyncpg.connect(servers.postgres.url(_DATABASE).replace("postgresql+asyncpg", "postgresql"))
    try:
        yield connection, files
    finally:
        await connection.close()


async def _is_prepared(
    bench: Bench, connection: asyncpg.Connection, peer: Peer, files: Place, notes: list[str]
) -> bool:
    """Lets it make its table by a load that is not measured, and adds the indexes; False where it cannot."""
    bench.say(f"{peer.name}: a first load, to make its table")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {peer.name}")
    if peer.tables:
        await connection.execute(peer.tables)
    try:
        peer.load(files)
    except PeerMissing as reason:
        notes.append(f"{peer.name} is not measured: {reason}")
        bench.say(notes[-1])
        return False
    await connection.execute(_ADD_INDEXES.format(schema=peer.name))
    return True


async def _load_twice(bench: Bench, connection: asyncpg.Connection, peer: Peer, files: Place, times: Times) -> None:
    await connection.execute(f"TRUNCATE {peer.name}.offers")
    await connection.execute("CHECKPOINT")
    first_s = peer.load(files)
    await connection.execute("CHECKPOINT")
    unchanged_s = peer.load(files)
    stored = await connection.fetchval(f"SELECT count(*) FROM {peer.name}.offers")
    if stored != bench.options.size:
        raise RuntimeError(f"{peer.name} has {stored} rows in its table after a load of {bench.options.size}")
    times.first_s.append(first_s)
    times.unchanged_s.append(unchanged_s)
    bench.say(f"{peer.name} {first_s:.2f} s, unchanged {unchanged_s:.2f} s")


async def _with_the_key_alone(bench: Bench, connection: asyncpg.Connection, peers: Sequence[Peer], files: Place) -> str:
    bench.say("once more, into tables without the other indexes")
    found = []
    for peer in peers:
        await connection.execute(_DROP_INDEXES.format(schema=peer.name))
        times = Times()
        await _load_twice(bench, connection, peer, files, times)
        found.append(f"{peer.name} {times}")
    return f"into tables with a unique key and no other index, once: {'; '.join(found)}"


async def _push_twice(product: Product, files: Place, slug: str) -> tuple[float, float, float]:
    """Seconds of a first load, of the same feed again, and from the first's start until search found it."""
    key = await product.add_merchant(slug)
    await product.settle()
    started_s = time.perf_counter()
    first_s = _push(product, files, slug, key)
    await product.settle()
    found_s = time.perf_counter() - started_s
    unchanged_s = _push(product, files, slug, key)
    await product.settle()
    return first_s, unchanged_s, found_s


def push_command(path: Path, slug: str) -> list[str]:
    """`wapsi feed push` of a file that a Feed wrote; target and key are in the environment."""
    command = [WAPSI, "feed", "push", str(path), "--merchant", slug, "--currency", CURRENCY]
    return [*command, *(word for mapping in COLUMN_MAPPING for word in ("--map", mapping))]


def _push(product: Product, files: Place, slug: str, key: str) -> float:
    environment = {**product.environment, "WAPSI_PRODUCER_KEY": key}
    started_s = time.perf_counter()
    done = subprocess.run(
        push_command(files.jsonl, slug), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    took_s = time.perf_counter() - started_s
    if done.returncode:
        raise RuntimeError(f"wapsi feed push ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return took_s
