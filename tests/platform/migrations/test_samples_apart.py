"""Documents with marks become those of partitions, and back."""

from typing import Any

import pytest

from wapsi.config import Settings
from wapsi.migrations import run as migrations

# By the hash of their ids: in both samples, in the larger one, in none.
IDS = "SELECT DISTINCT ON (kind) id, kind FROM (SELECT id, CASE WHEN uuid_hash(id) & 255 = 0 THEN 'both'" \
    " WHEN uuid_hash(id) & 15 = 0 THEN 'larger' ELSE 'none' END AS kind FROM (SELECT uuidv7() AS id" \
    " FROM generate_series(1, 5000)) made) kinds"  # fmt: skip
PLAIN = "'a:in_stock' 'kurta':1A 'noor':2B"
ONCE_MORE = " '!a:in_stock' '!kurta' '!noor'"
TWICE_MORE = " '#a:in_stock' '#kurta' '#noor'"
DOCUMENTS = "SELECT id, quality, document::text AS document FROM offer_documents ORDER BY id"


@pytest.fixture
async def marked(own_settings: Settings, own_sql: Any) -> dict[tuple[str, int], Any]:
    """{(kind of id, quality): id} of documents as the version before wrote them."""
    await migrations.downgrade(own_settings.migration_url, "0034")
    ids = {}
    for quality in (3, 4):
        for row in await own_sql(IDS):
            kind = row["kind"]
            document = PLAIN
            if (quality == 4 and kind != "none") or kind == "both":
                document += ONCE_MORE
            if quality == 4 and kind == "both":
                document += TWICE_MORE
            await own_sql(
                "INSERT INTO offer_documents VALUES ($1, $2, $3::text::tsvector)", row["id"], quality, document
            )
            ids[kind, quality] = row["id"]
    return ids


async def test_each_sample_has_its_documents_and_no_marks(
    own_settings: Settings, own_sql: Any, marked: dict[tuple[str, int], Any]
) -> None:
    await migrations.upgrade(own_settings.migration_url, "0033")
    rows = await own_sql("SELECT id, quality, sample, document::text AS document FROM offer_documents")
    assert {row["document"] for row in rows} == {PLAIN}
    samples = {row["id"]: row["sample"] for row in rows}
    assert {kind: samples[id_] for kind, id_ in marked.items()} == {
        ("both", 4): 2, ("larger", 4): 1, ("none", 4): 0, ("both", 3): 1, ("larger", 3): 0, ("none", 3): 0,
    }  # fmt: skip
    assert len(rows) == len(marked)


@pytest.mark.usefixtures("marked")
async def test_on_the_way_back_they_are_marked_as_they_were(own_settings: Settings, own_sql: Any) -> None:
    before = await own_sql(DOCUMENTS)
    await migrations.upgrade(own_settings.migration_url, "0033")
    await migrations.downgrade(own_settings.migration_url, "0034")
    assert await own_sql(DOCUMENTS) == before
