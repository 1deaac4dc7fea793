"""New sales in two statements a group: what is known of them, and their postings, each in a function of its own.

A click's receipt has our MAC beside it, which is checked in a tenth of the time of its signature. Clicks without one,
which the release before makes, are read by the signature as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0017"
branch_labels = None
depends_on = None

# Plans that a session made while the tables were empty must not read all of them later: only what an index finds by its
# key is cheap at any size, hence the settings.
LOOK = """
CREATE FUNCTION look_for_sales(
    p_event_sources text[], p_event_ids text[], p_sale_sources text[], p_sale_ids text[],
    p_click_ids uuid[], p_clicked_at timestamptz[],
    OUT events text, OUT sale_sources text[], OUT sale_ids text[], OUT click_ids uuid[], OUT customer_ids uuid[],
    OUT merchant_ids uuid[], OUT receipts text[], OUT receipt_macs bytea[], OUT mappings text
) RETURNS record LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    SELECT json_agg(json_build_array(e.source, e.external_event_id, e.id, e.outcome, e.conversion_id, e.error,
        e.message))::text INTO events
    FROM unnest(p_event_sources, p_event_ids) AS k (source, external_event_id)
    JOIN conversion_events AS e ON e.source = k.source AND e.external_event_id = k.external_event_id;
    SELECT array_agg(c.source), array_agg(c.external_id) INTO sale_sources, sale_ids
    FROM unnest(p_sale_sources, p_sale_ids) AS k (source, external_id)
    JOIN conversions AS c ON c.source = k.source AND c.external_id = k.external_id;
    SELECT array_agg(c.id), array_agg(c.customer_id), array_agg(c.merchant_id), array_agg(c.receipt),
        array_agg(c.receipt_mac)
    INTO click_ids, customer_ids, merchant_ids, receipts, receipt_macs
    FROM unnest(p_click_ids, p_clicked_at) AS k (id, clicked_at) CROSS JOIN LATERAL (
        SELECT * FROM clicks AS c WHERE c.id = k.id AND c.clicked_at = k.clicked_at LIMIT 1) AS c;
    SELECT json_agg(json_build_array(m.source, m.version, m.mapping))::text INTO mappings
    FROM (SELECT DISTINCT ON (source) source, version, mapping FROM status_mappings
        WHERE source = ANY(p_sale_sources) ORDER BY source, version DESC) AS m;
END $$
"""
# WL007: one of the postings was refused, and with it everything that the statement was to write.
POST = """
CREATE FUNCTION post_new_sales(
    p_locks bigint[], p_customers uuid[],
    p_ids uuid[], p_kinds text[], p_sources text[], p_external_ids text[], p_descriptions text[], p_trace_ids text[],
    p_resolves_ids uuid[], p_reverses_ids uuid[], p_amends_ids uuid[],
    p_paths text[], p_currencies text[],
    p_postings integer[], p_numbers integer[], p_amounts_minor bigint[], p_entry_currencies text[]
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    refused record;
BEGIN
    PERFORM pg_advisory_xact_lock(key) FROM unnest(p_locks) AS key;
    PERFORM pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM (SELECT id FROM unnest(p_customers) AS id
        ORDER BY id) AS customers;
    IF cardinality(p_ids) > 0 THEN
        SELECT * INTO refused FROM post_ledger_transactions(p_ids, p_kinds, p_sources, p_external_ids, p_descriptions,
            p_trace_ids, p_resolves_ids, p_reverses_ids, p_amends_ids, p_paths, p_currencies, p_postings, p_numbers,
            p_amounts_minor, p_entry_currencies);
        IF FOUND THEN
            RAISE EXCEPTION 'a posting was refused: %', refused.fault USING ERRCODE = 'WL007';
        END IF;
    END IF;
    RETURN cardinality(p_ids);
END $$
"""


def _run(statement: str) -> None:
    op.execute(statement.replace(":", r"\:"))


def upgrade() -> None:
    op.add_column("clicks", sa.Column("receipt_mac", sa.LargeBinary))
    for statement in (LOOK, POST):
        _run(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION post_new_sales")
    op.execute("DROP FUNCTION look_for_sales")
    op.drop_column("clicks", "receipt_mac")
