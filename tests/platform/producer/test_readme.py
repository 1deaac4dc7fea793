"""What the kit's README shows is run here, as programs, against the real server; what it names exists."""

import asyncio
import os
import re
import runpy
import sqlite3
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

import wapsi.producer
from domains.cashback import errors as _cashback  # noqa: F401  # all reasons that there are
from domains.customers import errors as _customers  # noqa: F401
from domains.merchants import errors as _merchants  # noqa: F401
from domains.offers import errors as _offers  # noqa: F401
from wapsi.errors import DomainError
from wapsi.producer import snapshot
from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc

FOLDER = Path(wapsi.producer.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"^```python (\S+)\n(.*?)^```", README, re.M | re.S))
Run = Callable[[str], Awaitable[str]]


def change(*statements: str) -> None:
    with sqlite3.connect("shop.db") as shop:
        for statement in statements:
            shop.execute(statement)
    shop.close()


@pytest.fixture
def run(door: Any, beside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Starts a program of the README in a folder with its shop's database; returns what it prints."""
    monkeypatch.chdir(tmp_path)
    for name, text in PROGRAMS.items():
        Path(name).write_text(text, encoding="utf-8")
    change(
        "CREATE TABLE products (sku TEXT, title TEXT, link TEXT, price_minor INT, deleted INT, changed_at TEXT)",
        *(
            f"INSERT INTO products VALUES ('S{n}', 'Kurta {n}', 'https://my-shop.example/{n}', {n}000, 0,"
            " '2026-01-10T09:00:00+00:00')"
            for n in range(1, 4)
        ),
    )

    async def program(name: str) -> str:
        environment = os.environ | {"WAPSI_TARGET": door.target, "WAPSI_KEY": door.key}
        process = await asyncio.create_subprocess_exec(
            sys.executable, name, env=environment, stdout=PIPE, stderr=STDOUT, cwd=tmp_path
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def run(name: str) -> str:
        return str(await beside(program(name)))

    return run


@pytest.fixture
def offers(admin_sql: Any) -> Callable[[], Awaitable[dict[str, int]]]:
    async def offers() -> dict[str, int]:
        rows = await admin_sql("SELECT offer_id, price_minor FROM offers WHERE status = 'active' ORDER BY offer_id")
        return {row["offer_id"]: row["price_minor"] for row in rows}

    return offers


async def test_a_feed_from_a_database_query(run: Run, offers: Any) -> None:
    assert await run("push.py") == "SYNC_STATE_SUCCEEDED 3 received 3 new\n"
    assert await offers() == {"S1": 1000, "S2": 2000, "S3": 3000}
    await asyncio.to_thread(change, "DELETE FROM products WHERE sku = 'S2'")
    assert await run("push.py") == "SYNC_STATE_SUCCEEDED 2 received 0 new\n"
    assert await offers() == {"S1": 1000, "S3": 3000}


async def test_changes_and_deletions(run: Run, offers: Any) -> None:
    assert await run("changes.py") == "0 changed 0 deleted 0 old\n"
    assert await offers() == {"S1": 1000, "S2": 2000, "S3": 3000}
    moment = datetime.now(UTC).isoformat()
    await asyncio.to_thread(
        change,
        f"UPDATE products SET price_minor = 900, changed_at = '{moment}' WHERE sku = 'S1'",
        f"UPDATE products SET deleted = 1, changed_at = '{moment}' WHERE sku = 'S3'",
    )
    assert await run("changes.py") == "1 changed 1 deleted 0 old\n"
    assert await offers() == {"S1": 900, "S2": 2000}
    # The same changes once more, because of the overlap.
    assert await run("changes.py") == "0 changed 1 deleted 0 old\n"
    assert await offers() == {"S1": 900, "S2": 2000}


async def test_a_program_that_died_goes_on(run: Run, door: Any, offers: Any, admin_sql: Any) -> None:
    """It has opened its sync, written its items down, and pushed two of three. Then the shop's database moved on."""
    night = f"nightly-{datetime.now(UTC):%Y-%m-%d}"
    source = snapshot(f"{night}.items", (await asyncio.to_thread(runpy.run_path, "push.py"))["products"])
    items = await asyncio.to_thread(lambda: [item.SerializeToString(deterministic=True) for item in source()])
    key = (("authorization", f"Bearer {door.key}"),)
    async with grpc.aio.insecure_channel(door.target) as channel:
        stub = pb_grpc.OfferSyncServiceStub(channel)
        start = pb.StartSyncRequest(request_id=night, merchant="my-shop", mode=pb.SYNC_MODE_FULL)
        sync = (await stub.StartSync(start, metadata=key)).sync
        push = pb.PushOffersRequest(sync_id=sync.sync_id, items=items[:2])
        assert [answer.committed_offset async for answer in stub.PushOffers(iter([push]), metadata=key)] == [2]
    await asyncio.to_thread(change, "UPDATE products SET price_minor = price_minor + 1", "DELETE FROM products")

    assert await run("nightly.py") == "SYNC_STATE_SUCCEEDED 3 received\n"
    assert await offers() == {"S1": 1000, "S2": 2000, "S3": 3000}
    chunks = await admin_sql("SELECT first_offset, items FROM sync_chunks ORDER BY first_offset")
    assert [tuple(row) for row in chunks] == [(0, 2), (2, 1)], "something was sent again"
    # And again, when all is done: it is told how the sync ended.
    assert await run("nightly.py") == "SYNC_STATE_SUCCEEDED 3 received\n"
    assert len(await admin_sql("SELECT id FROM syncs")) == 1


async def test_progress(run: Run, offers: Any) -> None:
    assert "my-shop: processing 3/3" in await run("progress.py")
    assert len(await offers()) == 3


async def test_a_dry_run(run: Run, offers: Any) -> None:
    await asyncio.to_thread(change, "UPDATE products SET link = 'https://elsewhere.example/' WHERE sku = 'S2'")
    first, *found = (await run("check.py")).splitlines()
    assert first == "2 would be taken 1 would not"
    assert [line.split()[:3] for line in found] == [["S2", "link", "LINK_HOST_NOT_ALLOWED"]]
    assert await offers() == {}


def test_all_programs_are_run_here() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert len(PROGRAMS) == README.count("```python") == 5
    assert [name for name in PROGRAMS if f'run("{name}")' not in tests] == []


def test_the_checksum_for_other_languages() -> None:
    assert f"`{combine(EMPTY_CHECKSUM, 0, [b'one', b'two']).hex()}`" in README


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 2
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_reasons_and_states_are_those_that_there_are() -> None:
    def reasons(error: type[DomainError]) -> set[str]:
        return {getattr(error, "reason", "")}.union(*map(reasons, error.__subclasses__()))

    table = README.partition("## What is raised")[2].partition("## Production")[0]
    named = {word for words in re.findall(r"[A-Z]+ \(([A-Z_, ]+)\)", table) for word in words.split(", ")}
    assert len(named) > 8
    assert named - reasons(DomainError) == set()
    codes = {word for line in table.splitlines() for word in re.findall(r"(?:… |code )([A-Z_]+)", line)}
    assert codes - set(grpc.StatusCode.__members__) == set()
    states = re.findall(r"^\| ([A-Z]+) \|", README, re.M)
    assert sorted(states) == ["CANCELLED", "FAILED", "PARTIAL", "QUARANTINED", "SUCCEEDED"]
    assert {f"SYNC_STATE_{state}" for state in states} <= set(pb.SyncState.keys())
