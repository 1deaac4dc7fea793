"""The door of files: taken in row by row by a job, each with its answer, and twice the same file changes nothing."""

import csv
import io
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from domains.cashback import service
from domains.cashback.service import file_intake, sales_files
from wapsi.queue.jobs import run_job
from wapsi.security.permissions import OperatorRole

PATH = "/v1/admin/networks/impact/sales-files"
COLUMNS = ("conversion_id", "merchant", "status", "order_amount_minor", "commission_minor", "currency", "occurred_at")


def table(*rows: tuple[str, str, int], end: str = "") -> bytes:
    """Of (sale, status, amount)."""
    now = datetime.now(UTC).isoformat()
    lines = [f"{sale},daraz,{status},{amount},{amount // 10},PKR,{now}" for sale, status, amount in rows]
    return "\n".join([",".join(COLUMNS), *lines, end]).encode()


class Files:
    def __init__(self, api: httpx2.AsyncClient, world: Any, headers: dict[str, str]) -> None:
        self.api, self.world, self.headers = api, world, headers

    async def upload(self, content: bytes, *, key: str = "", name: str = "sales.csv") -> httpx2.Response:
        headers = self.headers | {"Idempotency-Key": key or uuid4().hex, "X-File-Name": name}
        return await self.api.post(PATH, content=content, headers=headers)

    async def push(self, content: bytes, **how: str) -> dict[str, Any]:
        """Uploads it, lets the worker take it in, and looks at it."""
        answer = await self.upload(content, **how)
        assert (answer.status_code, answer.json()["state"]) == (202, "queued"), answer.text
        assert await self.world.run_jobs(service.TAKE_IN_FILE) == 1
        found = await self.api.get(answer.headers["location"], headers=self.headers)
        assert found.status_code == 200, found.text
        file: dict[str, Any] = found.json()
        return file

    async def lines(self, file: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        path = f"/v1/admin/sales-files/{file['id']}/lines"
        answer = await self.api.get(path, params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


@pytest.fixture
async def files(api: httpx2.AsyncClient, world: Any, operator: Any) -> Files:
    return Files(api, world, await operator(OperatorRole.FINANCE))


def counts(file: dict[str, Any]) -> tuple[int, ...]:
    names = ("rows", "applied", "ignored", "unknown_status", "refused", "repeated")
    return tuple(file[name] for name in names)


async def test_each_row_has_its_answer(world: Any, files: Files) -> None:
    content = table(("s-1", "pending", 1000), ("s-2", "odd", 1000), ("s-1", "approved", 1000), end="broken,row\n")
    file = await files.push(content)
    assert (file["state"], file["error"], counts(file)) == ("done", "", (4, 2, 0, 1, 1, 0))
    lines = await files.lines(file)
    assert [(line["line"], line["sale"], line["outcome"], line["reason"]) for line in lines] == [
        (2, "s-1", "applied", ""),
        (3, "s-2", "unknown_status", "UNKNOWN_STATUS"),
        (4, "s-1", "applied", ""),
        (5, "", "refused", "EVENT_MALFORMED"),
    ]
    assert "2 fields" in lines[3]["message"]
    assert [line["line"] for line in await files.lines(file, outcome="refused")] == [5]
    rows = await world.sql("SELECT door, actor, raw FROM conversion_events ORDER BY id")
    assert {row["door"] for row in rows} == {"file"}
    assert {row["actor"] for row in rows} == {file["created_by"]}
    assert orjson.loads(rows[0]["raw"])["conversion_id"] == "s-1"
    assert await world.sql("SELECT 1 FROM sales_file_pieces") == []


async def test_same_file_twice_changes_nothing(world: Any, files: Files) -> None:
    content = table(("s-1", "approved", 1000), ("s-2", "declined", 500))
    first = await files.push(content)
    entries = await world.sql("SELECT count(*) FROM ledger_entries")
    again = await files.push(content)
    assert again["id"] != first["id"]
    assert counts(again) == (2, 2, 0, 0, 0, 2)
    assert await world.sql("SELECT count(*) FROM ledger_entries") == entries
    assert len(await world.sql("SELECT 1 FROM conversion_events")) == 2


async def test_same_key_is_the_same_upload_and_another_file_is_none(files: Files) -> None:
    first = await files.upload(table(("s-1", "pending", 1000)), key="k-1")
    content = table(("s-9", "pending", 1000))
    differs = await files.upload(content, key="k-1")
    assert (differs.status_code, differs.json()["reason"]) == (409, "SALES_FILE_DIFFERS")
    kept = await files.upload(content, key="k-2")
    replay = await files.upload(content, key="k-2")
    assert replay.headers["idempotency-replayed"] == "true"
    assert replay.json()["id"] == kept.json()["id"] != first.json()["id"]
    missing = await files.api.post(PATH, content=content, headers={"Authorization": files.headers["Authorization"]})
    assert (missing.status_code, missing.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING")


async def test_rows_are_read_by_the_networks_mapping_and_those_mended_are_read_anew(
    api: httpx2.AsyncClient, world: Any, files: Files, operator: Any
) -> None:
    content = b'{"order": "o-1", "shop": 7, "word": "validated", "sum": "12.50"}\n'
    fields = {"conversion_id": "order", "merchant": "shop", "status": "word", "order_amount": "sum"}
    settings = {"kind": "awin", "merchants": {"7": "daraz"}, "file_mapping": {"fields": fields}}
    admin = await operator(OperatorRole.ADMIN)
    path = "/v1/admin/networks/impact/adapter"
    assert (await api.put(path, json=settings, headers=admin)).status_code == 200
    bad = await files.push(content, name="sales.jsonl")
    assert counts(bad) == (1, 0, 0, 0, 1, 0)
    assert (await files.lines(bad))[0]["message"] == "The event could not be read: currency: is missing."
    assert (await api.put(path, json=settings | {"currency": "PKR"}, headers=admin)).status_code == 200
    # "validated" is no word of Awin's: it is kept, and shown.
    assert counts(await files.push(content, name="sales.jsonl")) == (1, 0, 0, 1, 0, 0)


async def test_file_that_is_none_is_failed_in_words(world: Any, files: Files) -> None:
    file = await files.push(b"a,a\n1,2\n")
    assert (file["state"], file["error"]) == ("failed", "The file cannot be read: the header has a name twice.")
    assert await world.sql("SELECT 1 FROM sales_file_pieces") == []


async def test_empty_and_oversized_files_are_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = await files.upload(b"")
    assert (empty.status_code, empty.json()["reason"]) == (422, "SALES_FILE_EMPTY")
    monkeypatch.setattr(sales_files, "MAX_BYTES", 100)
    large = await files.upload(b"x" * 101)
    assert (large.status_code, large.json()["reason"]) == (413, "SALES_FILE_TOO_LARGE")


async def test_attempt_goes_on_where_the_one_before_came_to(
    world: Any, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_intake, "WINDOW", 2)
    handed_in: list[int] = []
    real = file_intake.ingest_many

    async def dies(driver: Any, keys: Any, items: Any) -> Any:
        if len(handed_in) == 1:
            handed_in.append(-1)
            raise RuntimeError("the worker is gone")
        handed_in.append(len(items))
        return await real(driver, keys, items)

    monkeypatch.setattr(file_intake, "ingest_many", dies)
    content = table(*((f"s-{number}", "pending", 1000) for number in range(5)))
    answer = await files.upload(content)
    assert await world.run_jobs(service.TAKE_IN_FILE) == 1
    half = (await files.api.get(answer.headers["location"], headers=files.headers)).json()
    assert (half["state"], half["rows"]) == ("queued", 2)
    await world.sql("UPDATE jobs SET due_at = now() WHERE kind = $1", service.TAKE_IN_FILE)
    assert await world.run_jobs(service.TAKE_IN_FILE) == 1
    whole = (await files.api.get(answer.headers["location"], headers=files.headers)).json()
    assert (whole["state"], counts(whole)) == ("done", (5, 5, 0, 0, 0, 0))
    assert handed_in == [2, -1, 2, 1]


async def test_file_that_is_given_up_says_so_and_keeps_what_it_brought(
    world: Any, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(driver: Any, keys: Any, items: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(file_intake, "ingest_many", dies)
    answer = await files.upload(table(("s-1", "pending", 1000)))
    await world.sql("UPDATE jobs SET max_attempts = 1 WHERE kind = $1", service.TAKE_IN_FILE)
    [job] = await world.sql("SELECT id FROM jobs WHERE kind = $1", service.TAKE_IN_FILE)
    await run_job(world.runtime, job["id"])
    file = (await files.api.get(answer.headers["location"], headers=files.headers)).json()
    assert file["state"] == "failed"
    assert "RuntimeError: no" in file["error"]


async def test_report_is_a_table_without_formulas(world: Any, files: Files) -> None:
    file = await files.push(table(("=1+1", "pending", 1000), ("s-2", "pending", 1000)))
    path = f"/v1/admin/sales-files/{file['id']}/lines"
    answer = await files.api.get(path, headers=files.headers | {"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["line"], row["sale"], row["outcome"]) for row in rows] == [
        ("2", "'=1+1", "applied"),
        ("3", "s-2", "applied"),
    ]


async def test_files_and_lines_are_paged(world: Any, files: Files) -> None:
    for number in range(3):
        await files.upload(table((f"s-{number}", "pending", 1000)))
    first = (await files.api.get(PATH, params={"limit": 2}, headers=files.headers)).json()
    rest = (
        await files.api.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}, headers=files.headers)
    ).json()
    ids = [file["id"] for file in first["items"] + rest["items"]]
    assert len(set(ids)) == 3
    assert ids == sorted(ids, reverse=True)
    assert rest["next_cursor"] is None


async def test_file_of_nobody_is_not_found(files: Files) -> None:
    path = f"/v1/admin/sales-files/{uuid4()}"
    answers = [await files.api.get(one, headers=files.headers) for one in (path, f"{path}/lines")]
    answers.append(await files.api.post("/v1/admin/networks/nobody/sales-files", content=b"a", headers=files.headers))
    assert [answer.status_code for answer in answers] == [404, 404, 404]
