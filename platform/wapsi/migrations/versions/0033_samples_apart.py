"""A partition of offer_documents for each sample: what most searches read lies together, with an index of its own.

The words of sampled offers were in one index a second and a third time, behind marks, and their documents scattered
over a table that is larger than memory. Now the table of before becomes the partition of all that is in no sample, as
it is; one document in 16 moves out of it, and loses its marks. No release so far has this table (the one before ours
searches offer_listings), so nobody waits for the locks.
"""

from alembic import op

from wapsi.migrations.grants import grant

revision = "0033"
down_revision = "0034"
branch_labels = None
depends_on = None

_PARTITIONED = """
CREATE TABLE offer_documents (
    id uuid NOT NULL, quality smallint NOT NULL, document tsvector NOT NULL, sample smallint NOT NULL
) PARTITION BY LIST (sample)
"""
# Those that INDEX_BATCH gave marks, `!` for both samples and `#` for the smaller one. By the id alone: most documents
# are not even read.
_MOVE = """
WITH moved AS (
    DELETE FROM document_partitions.sample_0
    WHERE uuid_hash(id) & 15 = 0 AND (quality >= 4 OR uuid_hash(id) & 255 = 0) RETURNING id, quality, document
)
INSERT INTO offer_documents (id, quality, document, sample)
SELECT id, quality, ts_delete(document, ARRAY(
        SELECT word FROM unnest(tsvector_to_array(document)) AS word WHERE left(word, 1) IN ('!', '#'))),
    CASE WHEN quality >= 4 AND uuid_hash(id) & 255 = 0 THEN 2 ELSE 1 END
FROM moved
"""
_MOVE_BACK = """
INSERT INTO document_partitions.sample_0 (id, quality, document, sample)
SELECT id, quality, document || array_to_tsvector(ARRAY(
        SELECT mark || word FROM unnest(tsvector_to_array(document)) AS word, unnest(ARRAY['!', '#']) AS mark
        WHERE mark = '!' OR sample = 2)), 0
FROM offer_documents
"""


def upgrade() -> None:
    # For what is sorted at the end: no more than this is used, and less where there is less.
    op.execute("SET LOCAL maintenance_work_mem = '512MB'")
    op.execute("CREATE SCHEMA document_partitions")
    op.drop_constraint("pk_offer_documents", "offer_documents")
    op.execute("ALTER TABLE offer_documents ADD COLUMN sample smallint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE offer_documents ALTER COLUMN sample DROP DEFAULT")
    op.execute("ALTER TABLE offer_documents SET SCHEMA document_partitions")
    op.execute("ALTER TABLE document_partitions.offer_documents RENAME TO sample_0")
    # What moves out of it, one in 16, is reason enough to tidy up.
    op.execute("ALTER TABLE document_partitions.sample_0 SET (autovacuum_vacuum_scale_factor = 0.05)")

    op.execute(_PARTITIONED)
    for sample in (1, 2):
        op.execute(
            f"CREATE TABLE document_partitions.sample_{sample} PARTITION OF offer_documents FOR VALUES IN ({sample})"
        )
    op.execute(_MOVE)
    for sample in (1, 2):
        # Few are written, and every search would read through the list of those that wait for the index.
        op.execute(
            f"CREATE INDEX ix_sample_{sample}_document ON document_partitions.sample_{sample} USING gin (document)"
            " WITH (fastupdate = off)"
        )
    op.create_primary_key("pk_offer_documents", "offer_documents", ["id", "sample"])
    op.create_index("ix_offer_documents_document", "offer_documents", ["document"], postgresql_using="gin")
    op.execute("ALTER TABLE offer_documents ATTACH PARTITION document_partitions.sample_0 FOR VALUES IN (0)")
    grant("offer_documents", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.execute("ALTER TABLE offer_documents DETACH PARTITION document_partitions.sample_0")
    op.execute("ALTER TABLE document_partitions.sample_0 DROP CONSTRAINT sample_0_pkey")
    op.execute(_MOVE_BACK)
    op.drop_table("offer_documents")
    op.execute("ALTER TABLE document_partitions.sample_0 RESET (autovacuum_vacuum_scale_factor)")
    op.execute("ALTER TABLE document_partitions.sample_0 RENAME TO offer_documents")
    op.execute("ALTER TABLE document_partitions.offer_documents SET SCHEMA public")
    op.drop_column("offer_documents", "sample")
    op.create_primary_key("pk_offer_documents", "offer_documents", ["id"])
    op.execute("DROP SCHEMA document_partitions")
