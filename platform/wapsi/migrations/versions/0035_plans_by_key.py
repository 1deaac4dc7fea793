"""What a group looks for is found by its key, whatever the statistics were when the session made its plans.

Of an inner join the planner may take either side first, and it takes the table where that was analysed while it was
empty: each group then walked all sales, events, accounts and balances there were, until the next ANALYZE. A subquery
that depends on its row has no such choice. Nor has a count of that kind, where of `EXISTS (…)` as a value a hash of all
there is was made.
"""

from importlib import import_module

from alembic import op

revision = "0035"
down_revision = "0033"
branch_labels = None
depends_on = None

# Both with the settings of who calls them.
ACCOUNTS = """
CREATE OR REPLACE FUNCTION ledger_accounts_of(
    p_paths text[], p_currencies text[], OUT accounts bigint[], OUT sides integer[]
) RETURNS record LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT array_agg(a.id ORDER BY given.number), array_agg(
            CASE WHEN a.customer_id IS NULL THEN 0 WHEN a.normal_side = 'debit' THEN 1 ELSE -1 END
            ORDER BY given.number)
        INTO accounts, sides
        FROM unnest(p_paths, p_currencies) WITH ORDINALITY AS given (path, currency, number)
        LEFT JOIN LATERAL (
            SELECT * FROM ledger_accounts AS known WHERE known.path = given.path AND known.currency = given.currency
            LIMIT 1
        ) AS a ON true;
        EXIT WHEN array_position(accounts, NULL) IS NULL;
        -- Looked for first: a conflict would use up an id of the sequence for every posting.
        INSERT INTO ledger_accounts (path, currency, normal_side, customer_id)
        SELECT given.path, given.currency,
            CASE WHEN split_part(given.path, ':', 1) IN ('assets', 'expenses') THEN 'debit' ELSE 'credit' END,
            substring(given.path FROM ':customer:([0-9a-f-]{36})')::uuid
        FROM unnest(p_paths, p_currencies, accounts) AS given (path, currency, id)
        WHERE given.id IS NULL
        ORDER BY 1, 2
        ON CONFLICT (path, currency) DO NOTHING;
        INSERT INTO ledger_balances (account_id)
        SELECT a.id FROM unnest(p_paths, p_currencies, accounts) AS given (path, currency, id)
        CROSS JOIN LATERAL (
            SELECT * FROM ledger_accounts AS known WHERE known.path = given.path AND known.currency = given.currency
            LIMIT 1
        ) AS a
        WHERE given.id IS NULL AND a.customer_id IS NOT NULL
        ORDER BY a.id
        ON CONFLICT (account_id) DO NOTHING;
    END LOOP;
END $$
"""
# The entries of those postings that were not refused, and what they do to customers' balances.
BOOK = """
CREATE OR REPLACE FUNCTION book_ledger_entries(
    p_ids uuid[], p_accounts bigint[], p_sides integer[], p_postings integer[], p_numbers integer[],
    p_amounts_minor bigint[], p_entry_currencies text[], p_refused integer[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_accounts bigint[];
    v_changes bigint[];
BEGIN
    INSERT INTO ledger_entries (transaction_id, account_id, amount_minor, currency)
    SELECT p_ids[e.posting], p_accounts[e.number], e.amount_minor, e.currency
    FROM unnest(p_postings, p_numbers, p_amounts_minor, p_entry_currencies) WITH ORDINALITY
        AS e (posting, number, amount_minor, currency, position)
    WHERE e.posting <> ALL (p_refused)
    ORDER BY e.position;

    SELECT array_agg(changes.account_id), array_agg(changes.change) INTO v_accounts, v_changes
    FROM (
        SELECT p_accounts[e.number] AS account_id, sum(e.amount_minor * p_sides[e.number])::bigint AS change
        FROM unnest(p_postings, p_numbers, p_amounts_minor) AS e (posting, number, amount_minor)
        WHERE p_sides[e.number] <> 0 AND e.posting <> ALL (p_refused)
        GROUP BY 1
    ) AS changes;
    -- The constraint on balances stands behind all of this.
    UPDATE ledger_balances AS b
    SET balance_minor = b.balance_minor + v_changes[array_position(v_accounts, b.account_id)], updated_at = now()
    WHERE b.account_id = ANY (v_accounts);
END $$
"""
LOOK = """
CREATE OR REPLACE FUNCTION look_for_sales(
    p_event_sources text[], p_event_ids text[], p_sale_sources text[], p_sale_ids text[],
    p_click_ids uuid[], p_clicked_at timestamptz[],
    OUT events text, OUT sale_sources text[], OUT sale_ids text[], OUT click_ids uuid[], OUT customer_ids uuid[],
    OUT merchant_ids uuid[], OUT receipts text[], OUT receipt_macs bytea[], OUT mappings text
) RETURNS record LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    SELECT json_agg(json_build_array(e.source, e.external_event_id, e.id, e.outcome, e.conversion_id, e.error,
        e.message))::text INTO events
    FROM unnest(p_event_sources, p_event_ids) AS k (source, external_event_id)
    CROSS JOIN LATERAL (
        SELECT * FROM conversion_events AS known
        WHERE known.source = k.source AND known.external_event_id = k.external_event_id LIMIT 1
    ) AS e;
    SELECT array_agg(c.source), array_agg(c.external_id) INTO sale_sources, sale_ids
    FROM unnest(p_sale_sources, p_sale_ids) AS k (source, external_id)
    CROSS JOIN LATERAL (
        SELECT * FROM conversions AS known WHERE known.source = k.source AND known.external_id = k.external_id LIMIT 1
    ) AS c;
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
CHECK_ENTRIES = """
CREATE OR REPLACE FUNCTION check_ledger_entries() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    broken record;
BEGIN
    SELECT mine.id, mine.balanced, mine.postings INTO broken
    FROM (
        SELECT lines.id, bool_and(lines.minor = 0) AS balanced, sum(lines.entries) AS entries,
            (SELECT count(*) FROM ledger_transactions AS t WHERE t.id = lines.id) AS postings,
            (SELECT count(*) FROM ledger_entries AS e WHERE e.transaction_id = lines.id) AS booked
        FROM (
            SELECT transaction_id AS id, sum(amount_minor) AS minor, count(*) AS entries
            FROM added GROUP BY transaction_id, currency
        ) AS lines
        GROUP BY lines.id
    ) AS mine
    WHERE NOT mine.balanced OR mine.postings = 0 OR mine.entries <> mine.booked
    LIMIT 1;
    IF FOUND THEN
        IF NOT broken.balanced THEN
            RAISE EXCEPTION 'ledger transaction % does not balance', broken.id USING ERRCODE = 'WL003';
        ELSIF broken.postings = 0 THEN
            RAISE EXCEPTION 'there is no ledger transaction %', broken.id USING ERRCODE = 'WL006';
        END IF;
        RAISE EXCEPTION 'ledger transaction % is posted already', broken.id USING ERRCODE = 'WL005';
    END IF;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT account_id, currency FROM added) AS mine
        WHERE (SELECT a.currency FROM ledger_accounts AS a WHERE a.id = mine.account_id) IS DISTINCT FROM mine.currency
    ) THEN
        SELECT added.transaction_id AS id INTO broken FROM added
        WHERE NOT EXISTS (
            SELECT FROM ledger_accounts AS a WHERE a.id = added.account_id AND a.currency = added.currency)
        LIMIT 1;
        RAISE EXCEPTION 'ledger transaction % names no account of its currency', broken.id USING ERRCODE = 'WL004';
    END IF;
    RETURN NULL;
END $$
"""
# Refuses one by one: returns what was refused, by position. Accounts are given once each, entries by their numbers.
POST = """
CREATE OR REPLACE FUNCTION post_ledger_transactions(
    p_ids uuid[], p_kinds text[], p_sources text[], p_external_ids text[], p_descriptions text[], p_trace_ids text[],
    p_resolves_ids uuid[], p_reverses_ids uuid[], p_amends_ids uuid[],
    p_paths text[], p_currencies text[],
    p_postings integer[], p_numbers integer[], p_amounts_minor bigint[], p_entry_currencies text[]
) RETURNS TABLE (posting integer, fault text, detail text) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_accounts bigint[];
    -- 1 and -1 for customers' own accounts, by their normal side; 0 for shared ones, which have no balance.
    v_sides integer[];
    v_balances bigint[];
    v_refused integer[] := '{}';
    v_written uuid[];
    line record;
BEGIN
    SELECT accounts, sides INTO v_accounts, v_sides FROM ledger_accounts_of(p_paths, p_currencies);

    -- Always in one order, whatever the postings: two groups that meet must not wait for each other.
    PERFORM FROM (
        SELECT given.id FROM unnest(v_accounts, v_sides, p_paths) AS given (id, side, path)
        WHERE given.side <> 0 ORDER BY given.path DESC, given.id
    ) AS mine
    CROSS JOIN LATERAL (SELECT FROM ledger_balances AS known WHERE known.account_id = mine.id FOR UPDATE) AS b;

    IF EXISTS (
        SELECT FROM unnest(p_numbers, p_amounts_minor) AS e (number, amount_minor)
        WHERE e.amount_minor * v_sides[e.number] < 0
    ) THEN
        -- What is posted already takes nothing a second time, so it must not count below.
        FOR line IN
            SELECT given.number FROM unnest(p_sources, p_external_ids) WITH ORDINALITY
                AS given (source, external_id, number)
            CROSS JOIN LATERAL (
                SELECT FROM ledger_transactions AS known
                WHERE known.source = given.source AND known.external_id = given.external_id LIMIT 1
            ) AS t
        LOOP
            v_refused := v_refused || line.number::integer;
            posting := line.number; fault := 'POSTED_ALREADY'; detail := ''; RETURN NEXT;
        END LOOP;
        FOR line IN
            SELECT given.number FROM unnest(p_resolves_ids) WITH ORDINALITY AS given (id, number)
            CROSS JOIN LATERAL (
                SELECT FROM ledger_transactions AS known WHERE known.resolves_id = given.id LIMIT 1) AS t
            WHERE given.number <> ALL (v_refused)
        LOOP
            v_refused := v_refused || line.number::integer;
            posting := line.number; fault := 'RESOLVED_ALREADY'; detail := ''; RETURN NEXT;
        END LOOP;
        SELECT array_agg(coalesce(
            (SELECT b.balance_minor FROM ledger_balances AS b WHERE b.account_id = mine.id), 0) ORDER BY mine.number)
        INTO v_balances FROM unnest(v_accounts) WITH ORDINALITY AS mine (id, number);
        -- In order: what one posting gives, the next may take.
        FOR line IN
            SELECT changes.posting AS number, array_agg(changes.number) AS numbers, array_agg(changes.change) AS changes
            FROM (
                SELECT e.posting, e.number, sum(e.amount_minor * v_sides[e.number])::bigint AS change
                FROM unnest(p_postings, p_numbers, p_amounts_minor) AS e (posting, number, amount_minor)
                WHERE v_sides[e.number] <> 0 AND e.posting <> ALL (v_refused)
                GROUP BY 1, 2
            ) AS changes
            GROUP BY 1 ORDER BY 1
        LOOP
            fault := NULL;
            FOR i IN 1..cardinality(line.numbers) LOOP
                IF line.changes[i] < 0 AND v_balances[line.numbers[i]] + line.changes[i] < 0 THEN
                    posting := line.number; fault := 'INSUFFICIENT_BALANCE'; detail := p_paths[line.numbers[i]];
                    v_refused := v_refused || posting;
                    RETURN NEXT;
                    EXIT;
                END IF;
            END LOOP;
            IF fault IS NULL THEN
                FOR i IN 1..cardinality(line.numbers) LOOP
                    v_balances[line.numbers[i]] := v_balances[line.numbers[i]] + line.changes[i];
                END LOOP;
            END IF;
        END LOOP;
    END IF;

    WITH written AS (
        INSERT INTO ledger_transactions
            (id, kind, source, external_id, description, trace_id, resolves_id, reverses_id, amends_id)
        SELECT given.id, given.kind, given.source, given.external_id, given.description, given.trace_id,
            given.resolves_id, given.reverses_id, given.amends_id
        FROM unnest(p_ids, p_kinds, p_sources, p_external_ids, p_descriptions, p_trace_ids, p_resolves_ids,
            p_reverses_ids, p_amends_ids) WITH ORDINALITY AS given (id, kind, source, external_id, description,
            trace_id, resolves_id, reverses_id, amends_id, number)
        WHERE given.number <> ALL (v_refused)
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT array_agg(id) INTO v_written FROM written;
    IF coalesce(cardinality(v_written), 0) + cardinality(v_refused) < cardinality(p_ids) THEN
        FOR line IN
            SELECT given.number, (SELECT count(*) FROM ledger_transactions AS t WHERE t.source = given.source
                AND t.external_id = given.external_id) > 0 AS posted
            FROM unnest(p_ids, p_sources, p_external_ids) WITH ORDINALITY AS given (id, source, external_id, number)
            WHERE given.number <> ALL (v_refused) AND given.id <> ALL (coalesce(v_written, '{}'))
        LOOP
            v_refused := v_refused || line.number::integer;
            posting := line.number; detail := '';
            fault := CASE WHEN line.posted THEN 'POSTED_ALREADY' ELSE 'RESOLVED_ALREADY' END;
            RETURN NEXT;
        END LOOP;
    END IF;

    PERFORM book_ledger_entries(p_ids, v_accounts, v_sides, p_postings, p_numbers, p_amounts_minor, p_entry_currencies,
        v_refused);
END $$
"""


def _run(statement: str) -> None:
    op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(":", r"\:"))


def upgrade() -> None:
    for statement in (ACCOUNTS, BOOK, LOOK, CHECK_ENTRIES, POST):
        _run(statement)


def downgrade() -> None:
    plans = import_module("wapsi.migrations.versions.0031_posting_plans")
    sales = import_module("wapsi.migrations.versions.0016_new_sales")
    for statement in (plans.ACCOUNTS, plans.BOOK, sales.LOOK, plans.CHECK_ENTRIES, plans.POST):
        _run(statement)
    op.execute("ALTER FUNCTION look_for_sales SET plan_cache_mode = force_generic_plan")
