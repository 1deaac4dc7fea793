"""Documents move into the parts of their samples, and back, and none is lost."""

from typing import Any

from wapsi.config import Settings
from wapsi.migrations import run as migrations

FILL = """
INSERT INTO offer_documents (id, quality, document, sample)
SELECT id, 4, format('''kurta'':1A ''w%s'':2B', n)::tsvector,
    CASE WHEN hash & 255 = 0 THEN 2 ELSE (hash & 15 = 0)::int END
FROM (SELECT n, id, uuid_hash(id) AS hash FROM (SELECT n, uuidv7() AS id FROM generate_series(1, 4000) n) ids) hashed
"""
DOCUMENTS = "SELECT id, quality, document::text AS document, sample FROM offer_documents ORDER BY id"
FOUND = "SELECT count(*) AS found FROM document_partitions.sample_{} WHERE document @@ 'kurta'"
PARTS = "SELECT DISTINCT tableoid::regclass::text AS part FROM offer_documents ORDER BY part"
INDEXES = """
SELECT count(*) FILTER (WHERE indisvalid) AS valid, count(*) AS all
FROM pg_index WHERE indrelid IN (SELECT relid FROM pg_partition_tree('offer_documents'))
"""


async def test_there_and_back_every_document_is_kept_and_found(own_settings: Settings, own_sql: Any) -> None:
    await own_sql(FILL)
    filled = await own_sql(DOCUMENTS)
    found = [await own_sql(FOUND.format(sample)) for sample in range(3)]
    assert len(await own_sql(PARTS)) == 13
    for step, revision in ((migrations.downgrade, "0035"), (migrations.upgrade, "0036")):
        await step(own_settings.migration_url, revision)
        assert await own_sql(DOCUMENTS) == filled
        assert [await own_sql(FOUND.format(sample)) for sample in range(3)] == found
        [indexes] = await own_sql(INDEXES)
        assert indexes["valid"] == indexes["all"]
    assert indexes["all"] == 2 * (1 + 3 + 8 + 4), "one of the words and one of the key, of each table"
    assert len(await own_sql(PARTS)) == 13
