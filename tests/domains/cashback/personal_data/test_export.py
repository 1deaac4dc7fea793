"""A customer takes their data along, and leaves: the person is gone, the books are as sound as before."""

import tracemalloc
from typing import Any
from uuid import UUID

import httpx2
import orjson

from tests.domains.cashback.personal_data.leaving import BROWSER, IBAN, NOTE, ORDER, Headers, export
from wapsi import personal_data
from wapsi.runtime import Runtime

# Taking it along


async def test_the_export_holds_what_there_is_in_full(
    api: httpx2.AsyncClient, world: Any, busy: UUID, shopper_headers: Headers, shopper_id: UUID
) -> None:
    document = await export(api, shopper_headers)
    assert document["customer_id"] == str(shopper_id)
    assert [one["email"] for one in document["profile"]] == ["asma@wapsi.example"]
    assert [(one["account"], one["masked"]) for one in document["payout_methods"]] == [
        (IBAN, "PK••••••••••••••••••6702")
    ]
    assert [(one["kind"], one["thing_id"]) for one in document["favourites"]] == [("merchant", str(world.merchant_id))]
    assert {one["id"] for one in document["clicks"]} >= {str(busy)}
    assert {one["user_agent"] for one in document["clicks"]} == {BROWSER, "Mozilla/5.0"}
    assert [(one["state"], one["amount_minor"]) for one in document["cashbacks"]] == [("confirmed", 70_000)]
    assert [(one["state"], one["amount_minor"]) for one in document["payouts"]] == [("succeeded", 20_000)]
    assert [(one["note"], one["order_id"], one["merchant"]) for one in document["claims"]] == [(NOTE, ORDER, "daraz")]
    available = [e["amount_minor"] for e in document["ledger_entries"] if e["account"].endswith(":available")]
    assert available == [-70_000, 20_000]
    assert len(document["sessions"]) == 1
    assert document.keys() - {"customer_id", "generated_at"} == set(world.runtime.personal_data.section_names)


async def test_the_export_holds_nothing_of_others(
    api: httpx2.AsyncClient, world: Any, busy: UUID, stranger_headers: Headers
) -> None:
    document = await export(api, stranger_headers)
    counts = {name: len(document[name]) for name in world.runtime.personal_data.section_names}
    assert counts == dict.fromkeys(counts, 0) | {"profile": 1, "sessions": 1}
    assert "asma" not in orjson.dumps(document).decode()


async def test_the_export_is_not_kept_by_caches(api: httpx2.AsyncClient, shopper_headers: Headers) -> None:
    answer = await api.get("/v1/me/export", headers=shopper_headers)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert (await api.get("/v1/me/export")).status_code == 401


_CLICKS = """
INSERT INTO clicks (id, clicked_at, customer_id, merchant_id, currency, landing_url, target_url,
    rate_schedule_version, receipt)
SELECT id, uuid_extract_timestamp(id), $1, $2, 'PKR', 'https://daraz.example/', 'https://daraz.example/', 1,
    repeat('r', 2000)
FROM (SELECT uuidv7(make_interval(secs => -(n / 7))) AS id FROM generate_series(1, 10000) AS n) AS made
"""


async def test_ten_thousand_clicks_are_exported_in_windows(
    world: Any, runtime: Runtime, shopper_headers: Headers, shopper_id: UUID
) -> None:
    """Many of them of one moment, as they are when they were written together."""
    await world.sql(_CLICKS, shopper_id, world.merchant_id)
    pieces: list[int] = []
    ids: set[bytes] = set()
    tracemalloc.start()
    async for piece in runtime.personal_data.export(runtime.db.reads, runtime.keys, shopper_id):
        pieces.append(len(piece))
        ids.update(part[:36] for part in piece.split(b'{"id":"')[1:] if b'"receipt"' in part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ids) == 10_000
    assert sum(pieces) > 20_000_000
    assert max(pieces) < personal_data.WINDOW * 4_000
    assert peak < 10_000_000


async def test_a_claims_note_is_in_the_claim_alone(world: Any, busy: UUID) -> None:
    """What is written down about its moves is never changed, and so could not be removed."""
    assert [row["note"] for row in await world.sql("SELECT note FROM claims")] == [NOTE]
    changes = await world.sql("SELECT detail::text AS detail FROM state_changes WHERE entity = 'claim'")
    assert [row["detail"] for row in changes] == ["{}"]
