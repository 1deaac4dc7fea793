"""The larger samples of search in parts: what a word is looked for in is a fraction of it, until there is enough.

An index of all words of millions of documents collects each of a common word's places before the first one is looked
at, and its lists are merged from their beginnings. In eight parts, one after the other, a search that has enough after
the first has read an eighth. Rows are copied, so this takes minutes at millions; searches wait for it.
"""

from alembic import op

from wapsi.migrations.grants import APP_ROLE

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

PARTS = {0: 8, 1: 4}
_SCHEMA = "document_partitions"
# What is new waits in a list, which every search reads to its end, so it must be short: a batch of a job fills it once.
# Of the smaller samples it does not wait, as before (see 0033).
_OPTIONS = {0: "gin_pending_list_limit = 256", 1: "fastupdate = off"}
# The owner's right, which the application does not have.
_CLEAN = """
CREATE FUNCTION clean_document_lists() RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT sum(gin_clean_pending_list(relid))::bigint
    FROM pg_partition_tree('public.ix_offer_documents_document') WHERE isleaf
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL maintenance_work_mem = '512MB'")
    for sample, parts in PARTS.items():
        whole, before = f"{_SCHEMA}.sample_{sample}", f"{_SCHEMA}.whole_{sample}"
        op.execute(f"ALTER TABLE offer_documents DETACH PARTITION {whole}")
        op.execute(f"ALTER TABLE {whole} RENAME TO whole_{sample}")
        op.execute(f"CREATE TABLE {whole} (LIKE offer_documents) PARTITION BY HASH (id)")
        for part in range(parts):
            op.execute(
                f"CREATE TABLE {whole}_{part} PARTITION OF {whole} FOR VALUES WITH (MODULUS {parts}, REMAINDER {part})"
            )
        # Copied before there are indexes: in an order of its own each is one sort.
        op.execute(f"INSERT INTO {whole} SELECT * FROM {before}")  # noqa: S608  # constants
        op.execute(f"DROP TABLE {before}")
        for part in range(parts):
            op.execute(f"ALTER TABLE {whole}_{part} ADD PRIMARY KEY (id, sample)")
            op.execute(
                f"CREATE INDEX ix_sample_{sample}_{part}_document ON {whole}_{part} USING gin (document)"
                f" WITH ({_OPTIONS[sample]})"
            )
            if sample == 0:
                op.execute(f"ALTER TABLE {whole}_{part} SET (autovacuum_vacuum_scale_factor = 0.05)")
        op.execute(f"ALTER TABLE offer_documents ATTACH PARTITION {whole} FOR VALUES IN ({sample})")
    op.execute(_CLEAN)
    op.execute("REVOKE ALL ON FUNCTION clean_document_lists() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION clean_document_lists() TO {APP_ROLE}")
    # A search names the sample that it reads.
    op.execute(f"GRANT USAGE ON SCHEMA {_SCHEMA} TO {APP_ROLE}")
    for sample in range(3):
        op.execute(f"GRANT SELECT ON {_SCHEMA}.sample_{sample} TO {APP_ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL maintenance_work_mem = '512MB'")
    op.execute("DROP FUNCTION clean_document_lists()")
    for sample in PARTS:
        whole, parts = f"{_SCHEMA}.sample_{sample}", f"{_SCHEMA}.parts_{sample}"
        op.execute(f"ALTER TABLE offer_documents DETACH PARTITION {whole}")
        op.execute(f"ALTER TABLE {whole} RENAME TO parts_{sample}")
        op.execute(f"CREATE TABLE {whole} (LIKE offer_documents)")
        op.execute(f"INSERT INTO {whole} SELECT * FROM {parts}")  # noqa: S608  # constants
        op.execute(f"DROP TABLE {parts}")
        op.execute(f"ALTER TABLE {whole} ADD CONSTRAINT sample_{sample}_pkey PRIMARY KEY (id, sample)")
        options = "" if sample == 0 else " WITH (fastupdate = off)"
        op.execute(f"CREATE INDEX ix_sample_{sample}_document ON {whole} USING gin (document){options}")
        if sample == 0:
            op.execute(f"ALTER TABLE {whole} SET (autovacuum_vacuum_scale_factor = 0.05)")
        op.execute(f"ALTER TABLE offer_documents ATTACH PARTITION {whole} FOR VALUES IN ({sample})")
    op.execute(f"REVOKE SELECT ON {_SCHEMA}.sample_2 FROM {APP_ROLE}")  # noqa: S608  # constants
    op.execute(f"REVOKE USAGE ON SCHEMA {_SCHEMA} FROM {APP_ROLE}")
