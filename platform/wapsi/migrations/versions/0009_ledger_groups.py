"""Postings in groups, each guarded by itself; what kept the hot rows of a group busy is gone; seals of the entries.

Entries had a foreign key on their posting, checked one by one: the trigger that balances them checks it for all at
once. Sales and rewards had foreign keys on merchants, networks and customers, whose checks lock the row of a popular
merchant for every sale; none is ever deleted, and the application may not delete them.
"""

from importlib import import_module

from alembic import op

from wapsi.migrations.grants import grant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Plans that a session made while the tables were empty must not read all of them later: only what an index finds by its
# key is cheap at any size, hence the settings.
# Refuses one by one: returns what was refused, by position. Accounts are given once each, entries by their numbers.
POST = """
CREATE FUNCTION post_ledger_transactions(
    p_ids uuid[], p_kinds text[], p_sources text[], p_external_ids text[], p_descriptions text[], p_trace_ids text[],
    p_resolves_ids uuid[], p_reverses_ids uuid[], p_amends_ids uuid[],
    p_paths text[], p_currencies text[],
    p_postings integer[], p_numbers integer[], p_amounts_minor bigint[], p_entry_currencies text[]
) RETURNS TABLE (posting integer, fault text, detail text) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_accounts bigint[];
    -- 1 and -1 for customers' own accounts, by their normal side; 0 for shared ones, which have no balance.
    v_sides integer[];
    v_balances bigint[];
    v_refused integer[] := '{}';
    v_written uuid[];
    line record;
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT array_agg(a.id ORDER BY given.number), array_agg(
            CASE WHEN a.customer_id IS NULL THEN 0 WHEN a.normal_side = 'debit' THEN 1 ELSE -1 END
            ORDER BY given.number)
        INTO v_accounts, v_sides
        FROM unnest(p_paths, p_currencies) WITH ORDINALITY AS given (path, currency, number)
        LEFT JOIN ledger_accounts AS a ON a.path = given.path AND a.currency = given.currency;
        EXIT WHEN array_position(v_accounts, NULL) IS NULL;
        -- Looked for first: a conflict would use up an id of the sequence for every posting.
        INSERT INTO ledger_accounts (path, currency, normal_side, customer_id)
        SELECT given.path, given.currency,
            CASE WHEN split_part(given.path, ':', 1) IN ('assets', 'expenses') THEN 'debit' ELSE 'credit' END,
            substring(given.path FROM ':customer:([0-9a-f-]{36})')::uuid
        FROM unnest(p_paths, p_currencies, v_accounts) AS given (path, currency, id)
        WHERE given.id IS NULL
        ORDER BY 1, 2
        ON CONFLICT (path, currency) DO NOTHING;
        INSERT INTO ledger_balances (account_id)
        SELECT a.id FROM unnest(p_paths, p_currencies, v_accounts) AS given (path, currency, id)
        JOIN ledger_accounts AS a ON a.path = given.path AND a.currency = given.currency
        WHERE given.id IS NULL AND a.customer_id IS NOT NULL
        ORDER BY a.id
        ON CONFLICT (account_id) DO NOTHING;
    END LOOP;

    -- Always in one order, whatever the postings: two groups that meet must not wait for each other.
    PERFORM FROM unnest(v_accounts, v_sides) AS mine (id, side)
    JOIN ledger_balances AS b ON b.account_id = mine.id
    JOIN ledger_accounts AS a ON a.id = mine.id
    WHERE mine.side <> 0
    ORDER BY a.path DESC, a.id FOR UPDATE OF b;

    IF EXISTS (
        SELECT FROM unnest(p_numbers, p_amounts_minor) AS e (number, amount_minor)
        WHERE e.amount_minor * v_sides[e.number] < 0
    ) THEN
        -- What is posted already takes nothing a second time, so it must not count below.
        FOR line IN
            SELECT given.number FROM unnest(p_sources, p_external_ids) WITH ORDINALITY
                AS given (source, external_id, number)
            JOIN ledger_transactions AS t ON t.source = given.source AND t.external_id = given.external_id
        LOOP
            v_refused := v_refused || line.number::integer;
            posting := line.number; fault := 'POSTED_ALREADY'; detail := ''; RETURN NEXT;
        END LOOP;
        FOR line IN
            SELECT given.number FROM unnest(p_resolves_ids) WITH ORDINALITY AS given (id, number)
            JOIN ledger_transactions AS t ON t.resolves_id = given.id
            WHERE given.number <> ALL (v_refused)
        LOOP
            v_refused := v_refused || line.number::integer;
            posting := line.number; fault := 'RESOLVED_ALREADY'; detail := ''; RETURN NEXT;
        END LOOP;
        SELECT array_agg(coalesce(b.balance_minor, 0) ORDER BY mine.number) INTO v_balances
        FROM unnest(v_accounts) WITH ORDINALITY AS mine (id, number)
        LEFT JOIN ledger_balances AS b ON b.account_id = mine.id;
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
            SELECT given.number, EXISTS (SELECT FROM ledger_transactions AS t WHERE t.source = given.source
                AND t.external_id = given.external_id) AS posted
            FROM unnest(p_ids, p_sources, p_external_ids) WITH ORDINALITY AS given (id, source, external_id, number)
            WHERE given.number <> ALL (v_refused) AND given.id <> ALL (coalesce(v_written, '{}'))
        LOOP
            v_refused := v_refused || line.number::integer;
            posting := line.number; detail := '';
            fault := CASE WHEN line.posted THEN 'POSTED_ALREADY' ELSE 'RESOLVED_ALREADY' END;
            RETURN NEXT;
        END LOOP;
    END IF;

    INSERT INTO ledger_entries (transaction_id, account_id, amount_minor, currency)
    SELECT p_ids[e.posting], v_accounts[e.number], e.amount_minor, e.currency
    FROM unnest(p_postings, p_numbers, p_amounts_minor, p_entry_currencies) WITH ORDINALITY
        AS e (posting, number, amount_minor, currency, position)
    WHERE e.posting <> ALL (v_refused)
    ORDER BY e.position;

    -- The constraint on balances stands behind all of this.
    UPDATE ledger_balances AS b SET balance_minor = b.balance_minor + changes.change, updated_at = now()
    FROM (
        SELECT v_accounts[e.number] AS account_id, sum(e.amount_minor * v_sides[e.number])::bigint AS change
        FROM unnest(p_postings, p_numbers, p_amounts_minor) AS e (posting, number, amount_minor)
        WHERE v_sides[e.number] <> 0 AND e.posting <> ALL (v_refused)
        GROUP BY 1
    ) AS changes
    WHERE b.account_id = changes.account_id;
END $$
"""

CHECK_ENTRIES = """
CREATE OR REPLACE FUNCTION check_ledger_entries() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT transaction_id INTO broken FROM added
    GROUP BY transaction_id, currency HAVING sum(amount_minor) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', broken USING ERRCODE = 'WL003';
    END IF;
    SELECT added.transaction_id INTO broken FROM added
    LEFT JOIN ledger_accounts AS account ON account.id = added.account_id AND account.currency = added.currency
    WHERE account.id IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % names no account of its currency', broken USING ERRCODE = 'WL004';
    END IF;
    SELECT mine.transaction_id INTO broken FROM (SELECT DISTINCT transaction_id FROM added) AS mine
    WHERE NOT EXISTS (SELECT FROM ledger_transactions AS t WHERE t.id = mine.transaction_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no ledger transaction %', broken USING ERRCODE = 'WL006';
    END IF;
    SELECT mine.transaction_id INTO broken
    FROM (SELECT transaction_id, count(*) AS entries FROM added GROUP BY transaction_id) AS mine
    WHERE mine.entries <> (SELECT count(*) FROM ledger_entries AS e WHERE e.transaction_id = mine.transaction_id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % is posted already', broken USING ERRCODE = 'WL005';
    END IF;
    RETURN NULL;
END $$
"""
SEALS = """
CREATE TABLE ledger_seals (
    number bigint NOT NULL, first_entry_id bigint NOT NULL, last_entry_id bigint NOT NULL, entry_ids bigint[] NOT NULL,
    digests bytea NOT NULL, rows_hash bytea NOT NULL, mac bytea NOT NULL, sealed_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_ledger_seals PRIMARY KEY (number),
    CONSTRAINT ck_ledger_seals_range CHECK (number >= 1 AND first_entry_id <= last_entry_id)
);
CREATE TABLE ledger_checks (
    name text NOT NULL, verified_to bigint NOT NULL, revisited_to bigint NOT NULL,
    checked_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_ledger_checks PRIMARY KEY (name)
);
"""
DROPPED = (
    ("ledger_entries", "transaction_id", "ledger_transactions"),
    ("conversions", "merchant_id", "merchants"),
    ("conversions", "network_id", "affiliate_networks"),
    ("conversions", "customer_id", "customers"),
    ("rewards", "merchant_id", "merchants"),
    ("rewards", "customer_id", "customers"),
)


def _run(statement: str) -> None:
    op.execute(statement.replace(":", r"\:"))


def upgrade() -> None:
    for statement in (POST, CHECK_ENTRIES, *SEALS.strip().split(";\n")):
        _run(statement.rstrip(";\n"))
    op.execute(
        "CREATE TRIGGER ledger_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seals"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    grant("ledger_seals", "SELECT, INSERT")
    grant("ledger_checks", "SELECT, INSERT, UPDATE")
    op.execute("DROP FUNCTION post_ledger_transaction")
    for table, column, target in DROPPED:
        op.drop_constraint(f"fk_{table}_{column}_{target}", table, type_="foreignkey")


def downgrade() -> None:
    for table, column, target in DROPPED:
        op.create_foreign_key(f"fk_{table}_{column}_{target}", table, target, [column], ["id"])
    op.execute("DROP TABLE ledger_checks")
    op.execute("DROP TABLE ledger_seals")
    op.execute("DROP FUNCTION post_ledger_transactions")
    before = import_module("wapsi.migrations.versions.0005_cashback")
    op.execute("DROP TRIGGER ledger_entries_balance ON ledger_entries")
    op.execute("DROP FUNCTION check_ledger_entries()")
    for script in (before.CHECK_ENTRIES, before.POST):
        before._run(script)
