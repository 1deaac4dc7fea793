"""READ6: the same listing of 20 rows as other frameworks' users write it, on the same data, in the same run."""

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from tests.benchmarks import reads_programs as programs
from tests.benchmarks.bench import Bench, median
from tests.benchmarks.load import wrk
from tests.benchmarks.load.wrk import Measured
from tests.benchmarks.peers import PeerMissing
from tests.benchmarks.population import DATABASE
from tests.benchmarks.reads import HOT_PAGE, PAGE, latencies, sound
from tests.benchmarks.reads_peer_programs import PYTHON_PEERS, Fastify, ListingPeer
from tests.benchmarks.reads_stage import Stage, seconds_of, stage
from tests.benchmarks.registry import Row, Skipped, at_least, bar

# Every second page is of one merchant; of so many of them.
_MERCHANTS = 40
_WARM_UP_S = 2.0
OURS = "ours"


@bar("READ6")
async def beside_peers(bench: Bench) -> Sequence[Row]:
    peers = _installed(bench)
    seconds = seconds_of(bench)
    cold: dict[str, list[Measured]] = {}
    hot: dict[str, list[Measured]] = {}
    async with stage(bench) as staged:
        with contextlib.ExitStack() as stack:
            # All beside one another: who is not asked takes nothing.
            urls = {peer.name: stack.enter_context(_serving(peer, staged)) for peer in peers}
            ours, theirs = await _pages(staged)
            await staged.require([HOT_PAGE, *ours[:2]])
            files = {name: staged.paths("peers", theirs) for name in urls} | {OURS: staged.paths("ours", ours)}
            urls[OURS] = staged.product.url
            hot_files = {
                OURS: staged.paths("hot", [HOT_PAGE]),
                Fastify.name: staged.paths("fastify", [f"/offers?limit={PAGE}"]),
            }
            for name, url in urls.items():
                await wrk.pages(url, files[name], seconds=_WARM_UP_S, first=len(ours) // 2)
            first = 2
            for _run in bench.runs():
                for name, url in urls.items():
                    cold.setdefault(name, []).append(
                        sound(await wrk.pages(url, files[name], seconds=seconds, first=first))
                    )
                first += cold[OURS][-1].requests
                for name, file in hot_files.items():
                    if name in urls:
                        hot.setdefault(name, []).append(sound(await wrk.pages(urls[name], file, seconds=seconds)))
                bench.say("cold: " + ", ".join(f"{name} {runs[-1].rate_per_s:,.0f}/s" for name, runs in cold.items()))
                bench.say("hot: " + ", ".join(f"{name} {runs[-1].rate_per_s:,.0f}/s" for name, runs in hot.items()))
    return _rows(peers, cold, hot, distinct=len(ours), asked=first)


def _installed(bench: Bench) -> Sequence[ListingPeer]:
    """Raises Skipped when no Python one can be."""
    peers: list[ListingPeer] = []
    kinds: Sequence[type[ListingPeer]] = (*PYTHON_PEERS, Fastify)
    for kind in kinds:
        peer = kind()
        try:
            peer.install()
        except PeerMissing as reason:
            bench.say(f"{peer.name} is left out: {reason}")
            continue
        peers.append(peer)
    if not any(isinstance(peer, PYTHON_PEERS) for peer in peers):
        raise Skipped("no peer can be installed")
    return peers


def _serving(peer: ListingPeer, staged: Stage) -> contextlib.AbstractContextManager[str]:
    port = programs.free_port()
    return programs.running(
        peer.name.split(",")[0].lower().replace(" ", "-"),
        peer.command(port),
        staged.folder,
        port=port,
        path=f"/offers?limit={PAGE}",
        environment=peer.environment(staged.servers.postgres.socket_dir, DATABASE),
    )


async def _pages(staged: Stage) -> tuple[list[str], list[str]]:
    """Pages behind offers of all ages, of all merchants and of one in turn: for us, and the same for the peers."""
    kinds: list[dict[str, str]] = [{}, *({"merchant": slug} for slug in staged.data.merchants[:_MERCHANTS])]
    tags = [await _cursor_tag(staged, query) for query in kinds]
    ours: list[str] = []
    theirs: list[str] = []
    for number, id_ in enumerate(staged.data.offer_ids):
        # Twice: of all offers, and of one merchant.
        for kind in (0, 1 + number % (len(kinds) - 1)):
            query = {**kinds[kind], "limit": str(PAGE)}
            ours.append(f"/v1/offers?{urlencode({**query, 'cursor': _cursor(tags[kind], id_)})}")
            theirs.append(f"/offers?{urlencode({**query, 'before': id_})}")
    return ours, theirs


async def _cursor_tag(staged: Stage, query: Mapping[str, str]) -> str:
    """What binds a cursor to its listing, out of one that the product gave."""
    answer = await staged.product.http.get("/v1/offers", params={**query, "limit": "1"})
    cursor = answer.json()["next_cursor"]
    return str(json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0])


def _cursor(tag: str, id_: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([tag, id_], separators=(",", ":")).encode()).rstrip(b"=").decode()


def _rows(
    peers: Sequence[ListingPeer],
    cold: Mapping[str, Sequence[Measured]],
    hot: Mapping[str, Sequence[Measured]],
    *,
    distinct: int,
    asked: int,
) -> Sequence[Row]:
    rates = {name: median([run.rate_per_s for run in runs]) for name, runs in cold.items()}
    versions = {peer.name: " ".join(peer.packages) for peer in peers}
    fastest = max((peer.name for peer in peers if isinstance(peer, PYTHON_PEERS)), key=lambda name: rates[name])
    words, holds = at_least(2, rates[OURS] / rates[fastest])
    notes = [
        f"{name} {rates[name]:,.0f}/s ({latencies(runs)}){f'; {versions[name]}' if name in versions else ''}"
        for name, runs in cold.items()
    ]
    notes.append(
        f"{asked:,} of our pages asked, {distinct:,} distinct; theirs have no net price and show the price in its place"
    )
    rows = [
        Row(
            *("READ6-cold", f"listing of {PAGE}, cold, one process", rates[OURS], "requests/s", rates[fastest]),
            *(fastest, rates[OURS] / rates[fastest], words, holds, notes),
        )
    ]
    if Fastify.name in hot:
        value, floor = (median([run.rate_per_s for run in hot[name]]) for name in (OURS, Fastify.name))
        words, holds = at_least(3, value / floor)
        rows.append(
            Row(
                *("READ6-hot", f"listing of {PAGE}, hot, one process", value, "requests/s", floor, Fastify.name),
                *(value / floor, words, holds),
            )
        )
    return rows
