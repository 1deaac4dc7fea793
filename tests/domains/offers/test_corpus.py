"""The golden corpus (tests/corpus), by both doors: pushed over gRPC as an integrator would, and uploaded over REST."""

import asyncio
import functools
import importlib.util
import itertools
import json
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from domains.offers import rpc
from domains.offers.feeds import FORMATS, FeedError, open_feed
from wapsi.producer import Producer
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime

CORPUS = Path(__file__).parents[2] / "corpus"


def _program(name: str) -> Any:
    """They are no package, so they are loaded by their paths."""
    spec = importlib.util.spec_from_file_location(name, CORPUS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


conformance = _program("conformance")
corpus = _program("make_items")
CASES = conformance.load()
KINDS = ("good", "bad", "unreadable", "sequences")
STEPS = [(case, step) for case in CASES for step in case.steps]
READABLE = [(case, step) for case, step in STEPS if step.is_readable]
FEEDS = [(case, step) for case, step in READABLE if step.feed != step.items]
CHECKSUMS = json.loads((CORPUS / "checksums.json").read_text(encoding="utf-8"))


@pytest.fixture
async def target(runtime: Runtime) -> AsyncIterator[str]:
    server = RPCServer(runtime, [rpc.rpc_service(runtime)])
    await server.start()
    yield f"127.0.0.1:{server.port}"
    await server.stop()


@pytest.fixture
async def producer(target: str, shop: Any) -> AsyncIterator[Producer]:
    async with Producer(target, shop.key) as producer:
        yield producer


@pytest.fixture
def beside(drain: Callable[[], Awaitable[int]]) -> Callable[[Any], Awaitable[Any]]:
    """Awaits something while the worker works."""

    async def beside(work: Any) -> Any:
        task = asyncio.create_task(work)
        while not task.done():
            await drain()
            await asyncio.sleep(0.01)
        return await task

    return beside


@pytest.fixture
def shown(api: Any) -> Callable[[], Awaitable[dict[str, Any]]]:
    """What shoppers see of the shop."""

    pages = itertools.count()

    async def shown() -> dict[str, Any]:
        # Each another page to the cache: emptying the shop takes its versions back, which nothing real does.
        answer = await api.get("/v1/offers", params={"merchant": "shop", "limit": 100, "page": next(pages)})
        assert answer.status_code == 200, answer.text
        offers = [(await api.get(f"/v1/offers/{offer['id']}")).json() for offer in answer.json()["items"]]
        return dict(conformance.catalogue(offers))

    return shown


@pytest.fixture
def emptied(admin_sql: Any) -> Callable[[], Awaitable[None]]:
    """Makes the shop new again: a database for each case would take most of the time."""

    async def emptied() -> None:
        for table in (
            "offer_listings",
            "offer_documents",
            "facet_counts",
            "offer_revisions",
            "offer_prices",
            "offers",
            "catalogues",
            "syncs",
        ):
            await admin_sql(f"DELETE FROM {table}")

    return emptied


def is_one_feed(case: Any) -> bool:
    return len(case.steps) == 1 and case.steps[0].feed != case.steps[0].items


def by_name(value: Any) -> str:
    return getattr(value, "name", "")


@pytest.mark.parametrize("kind", KINDS)
async def test_pushed_each_feed_comes_out_as_the_corpus_says(
    kind: str, producer: Producer, beside: Any, shown: Any, emptied: Any
) -> None:
    for case in (case for case in CASES if case.name.startswith(kind)):
        await emptied()
        for number, step in enumerate(case.steps):
            push = producer.push(
                "shop",
                functools.partial(corpus.read_feed, case, step),
                request_id=f"step-{number}",
                mode=conformance.MODES[step.mode],
                as_of=step.stated,
            )
            expected = dict(step.expected)
            expected.pop("reads_as", None)
            if not step.is_readable:
                with pytest.raises(FeedError) as unreadable:
                    await beside(push)
                found = {"unreadable": {"reason": unreadable.value.reason, "line": unreadable.value.line}}
            else:
                sync = await beside(push)
                found = conformance.outcome(sync, await producer.issues(sync.sync_id, limit=1000))
                c = sync.counters
                total = c.created + c.updated + c.unchanged + c.withdrawn_by_item + c.stale + c.duplicates + c.rejected
                assert sync.state == pb.SYNC_STATE_QUARANTINED or c.received == total, step.name
            assert found | {"catalogue": await shown()} == expected, step.name


@pytest.mark.parametrize("kind", KINDS[:3])
async def test_uploaded_it_comes_out_the_same(
    kind: str, api: Any, shop: Any, drain: Any, shown: Any, emptied: Any
) -> None:
    for case in (case for case in CASES if case.name.startswith(kind) and is_one_feed(case)):
        await emptied()
        [step] = case.steps
        answer = await api.post(
            "/v1/merchants/shop/syncs",
            params=case.options,
            content=await asyncio.to_thread(step.feed.read_bytes),
            headers={"Authorization": f"Bearer {shop.key}", "Idempotency-Key": "upload-1"},
        )
        assert answer.status_code == 202, answer.text
        await drain()
        sync = await shop.get(answer.json()["id"])
        expected = dict(step.expected)
        expected.pop("reads_as", None)
        if unreadable := expected.pop("unreadable", None):
            assert (sync.state, sync.reason) == (pb.SYNC_STATE_FAILED, unreadable["reason"]), step.name
            found = {}
        else:
            found = conformance.outcome(sync, await shop.issues(sync.sync_id))
        assert found | {"catalogue": await shown()} == expected, step.name


@pytest.mark.parametrize(("case", "step"), READABLE, ids=by_name)
def test_the_items_and_checksums_for_other_languages_are_those_of_the_feed(case: Any, step: Any) -> None:
    """Where a reader has changed on purpose: python tests/corpus/make_items.py."""
    items = list(corpus.read_feed(case, step))
    assert list(conformance.read_items(step.items)) == items
    assert corpus.checksum(items) == CHECKSUMS[step.feed.relative_to(CORPUS).as_posix()]


@pytest.mark.parametrize(("case", "step"), [pair for pair in FEEDS if "reads_as" in pair[1].expected], ids=by_name)
def test_feeds_are_recognised_by_their_content(case: Any, step: Any) -> None:
    with step.feed.open("rb") as stream, open_feed(stream, options=corpus.feed_options(case, step)) as feed:
        reads_as = {"format": feed.format, "encoding": feed.encoding, "compression": feed.compression}
    assert reads_as == step.expected["reads_as"]


def test_every_format_has_good_and_bad_feeds() -> None:
    formats = {
        kind: {step.expected["reads_as"]["format"] for case, step in FEEDS if case.name.startswith(kind)}
        for kind in ("good", "bad")
    }
    assert formats["good"] == set(FORMATS)
    assert formats["bad"] >= set(FORMATS) - {"csv"}, "a table of one's own differs from the others by its mapping alone"


def test_every_case_is_run() -> None:
    assert {case.name.partition("/")[0] for case in CASES} == set(KINDS)
    assert len({case.merchant("corpus") for case in CASES}) == len(CASES), "each has a merchant for itself"


def test_every_file_belongs_to_a_case() -> None:
    known = {file for _, step in STEPS for file in (step.feed, step.items)}
    known |= {CORPUS / case.name / "case.json" for case in CASES}
    own = {
        CORPUS / name for name in ("README.md", "conformance.py", "make_items.py", "checksums.json", ".gitattributes")
    }
    files = {file for file in CORPUS.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert files - known == own
    assert set(CHECKSUMS) == {step.feed.relative_to(CORPUS).as_posix() for _, step in READABLE}


@pytest.fixture
async def rest(app: Any) -> AsyncIterator[str]:
    """The address of a REST server for programs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


@pytest.fixture
async def client(tmp_path: Path) -> str:
    """A command that pushes, but for the number of lines that it takes at most."""
    file = tmp_path / "client.py"
    await asyncio.to_thread(file.write_text, CLIENT)
    return f"{sys.executable} {file} {{target}} {{key}} {{merchant}} {{mode}} {{as_of}} {{request_id}} {{items}}"


@pytest.fixture
def run(target: str, rest: str, shop: Any, admin_sql: Any, beside: Any) -> Callable[..., Awaitable[tuple[int, str]]]:
    """run(case, *arguments): conformance.py as integrators start it; its exit code and what it says."""

    async def program(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CORPUS / "conformance.py"), *arguments, stdout=PIPE, stderr=STDOUT
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def run(case: str, *arguments: str) -> tuple[int, str]:
        [slug] = (await program("--merchants", "--only", case))[1].splitlines()
        await admin_sql("UPDATE merchants SET slug = $1", slug)
        where = ("--target", target, "--key", shop.key, "--api", rest, "--only", case)
        return tuple(await beside(program(*where, *arguments)))

    return run


CLIENT = """
import asyncio, datetime, itertools, json, sys
from google.protobuf import json_format
from wapsi.producer import Producer
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

async def main(target, key, merchant, mode, as_of, request_id, file, most):
    lines = open(file, encoding="utf-8").readlines()[: int(most)]
    items = lambda: (json_format.Parse(line, pb.OfferItem()) for line in lines)
    async with Producer(target, key) as producer:
        moment = datetime.datetime.fromisoformat(as_of)
        mode = pb.SyncMode.Value(f"SYNC_MODE_{mode.upper()}")
        await producer.push(merchant, items, request_id=request_id, mode=mode, as_of=moment)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_integrators_run_it_with_this_client(run: Any) -> None:
    code, output = await run("sequences/time-decides")
    assert (code, output.count("✓")) == (0, 6), output
    assert "1 cases hold" in output


async def test_integrators_run_it_with_a_client_of_their_own(run: Any, client: str) -> None:
    code, output = await run("good/google-rss", "--push", f"{client} 1000")
    assert (code, output.count("✓")) == (0, 1), output


async def test_a_client_that_loses_an_item_is_told(run: Any, client: str) -> None:
    code, output = await run("good/google-rss", "--push", f"{client} 2")
    assert code == 1
    assert (
        'counters: expected {"received": 3, "created": 3}\n             found {"received": 2, "created": 2}' in output
    )
    assert "catalogue: " in output


async def test_a_client_that_fails_is_told(run: Any) -> None:
    code, output = await run("good/google-rss", "--push", f"{sys.executable} -c 'raise SystemExit(3)'")
    assert code == 1
    assert "ended with 3" in output
