"""Clicks, conversions, rewards, claims, payouts and the ledger.

As SQL, since much of it is functions and triggers; the ledger's rules are held here and not only in the code.
"""

from alembic import op

from wapsi.migrations.grants import APP_ROLE, grant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LEDGER = """
CREATE TABLE ledger_accounts (
    id bigint GENERATED ALWAYS AS IDENTITY, path text NOT NULL, currency varchar(3) NOT NULL,
    normal_side text NOT NULL, customer_id uuid, created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_ledger_accounts PRIMARY KEY (id),
    CONSTRAINT uq_ledger_accounts_path_currency UNIQUE (path, currency),
    CONSTRAINT ck_ledger_accounts_normal_side CHECK (normal_side IN ('debit', 'credit')),
    CONSTRAINT ck_ledger_accounts_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_ledger_accounts_customer_id_customers FOREIGN KEY (customer_id) REFERENCES customers (id)
);
CREATE INDEX ix_ledger_accounts_customer_id ON ledger_accounts (customer_id) WHERE customer_id IS NOT NULL;
CREATE TABLE ledger_balances (
    account_id bigint NOT NULL, balance_minor bigint DEFAULT 0 NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_ledger_balances PRIMARY KEY (account_id),
    CONSTRAINT ck_ledger_balances_balance_minor CHECK (balance_minor >= 0),
    CONSTRAINT fk_ledger_balances_account_id_ledger_accounts
        FOREIGN KEY (account_id) REFERENCES ledger_accounts (id)
);
CREATE TABLE ledger_transactions (
    id uuid DEFAULT uuidv7() NOT NULL, kind text NOT NULL, source text NOT NULL, external_id text NOT NULL,
    description text NOT NULL, posted_at timestamptz DEFAULT now() NOT NULL, trace_id text, resolves_id uuid,
    reverses_id uuid, amends_id uuid,
    CONSTRAINT pk_ledger_transactions PRIMARY KEY (id),
    CONSTRAINT uq_ledger_transactions_source_external_id UNIQUE (source, external_id),
    CONSTRAINT uq_ledger_transactions_resolves_id UNIQUE (resolves_id),
    CONSTRAINT ck_ledger_transactions_one_reference CHECK (num_nonnulls(resolves_id, reverses_id, amends_id) <= 1),
    CONSTRAINT fk_ledger_transactions_resolves_id_ledger_transactions
        FOREIGN KEY (resolves_id) REFERENCES ledger_transactions (id),
    CONSTRAINT fk_ledger_transactions_reverses_id_ledger_transactions
        FOREIGN KEY (reverses_id) REFERENCES ledger_transactions (id),
    CONSTRAINT fk_ledger_transactions_amends_id_ledger_transactions
        FOREIGN KEY (amends_id) REFERENCES ledger_transactions (id)
);
CREATE INDEX ix_ledger_transactions_amends_id ON ledger_transactions (amends_id) WHERE amends_id IS NOT NULL;
CREATE INDEX ix_ledger_transactions_reverses_id ON ledger_transactions (reverses_id) WHERE reverses_id IS NOT NULL;
CREATE TABLE ledger_entries (
    id bigint GENERATED ALWAYS AS IDENTITY, transaction_id uuid NOT NULL, account_id bigint NOT NULL,
    amount_minor bigint NOT NULL, currency varchar(3) NOT NULL,
    CONSTRAINT pk_ledger_entries PRIMARY KEY (id),
    CONSTRAINT ck_ledger_entries_amount_minor CHECK (amount_minor <> 0),
    CONSTRAINT fk_ledger_entries_transaction_id_ledger_transactions
        FOREIGN KEY (transaction_id) REFERENCES ledger_transactions (id)
);
CREATE INDEX ix_ledger_entries_account_id_id ON ledger_entries (account_id, id);
CREATE INDEX ix_ledger_entries_transaction_id ON ledger_entries (transaction_id);
CREATE TABLE state_changes (
    id bigint GENERATED ALWAYS AS IDENTITY, entity text NOT NULL, entity_id uuid NOT NULL, from_state text,
    to_state text NOT NULL, reason_code text NOT NULL, actor text NOT NULL, event_id uuid,
    detail jsonb DEFAULT '{}' NOT NULL, trace_id text, at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_state_changes PRIMARY KEY (id),
    CONSTRAINT ck_state_changes_entity CHECK (entity IN ('conversion', 'reward', 'claim', 'payout'))
);
CREATE INDEX ix_state_changes_entity_entity_id_id ON state_changes (entity, entity_id, id);
"""

CLICKS = """
CREATE TABLE clicks (
    id uuid NOT NULL, clicked_at timestamptz NOT NULL, customer_id uuid NOT NULL, merchant_id uuid NOT NULL,
    offer_id uuid, currency varchar(3) NOT NULL, landing_url text NOT NULL, target_url text NOT NULL,
    rate_schedule_version integer NOT NULL, receipt text NOT NULL, user_agent text DEFAULT '' NOT NULL,
    bot boolean DEFAULT false NOT NULL, duplicate_of uuid, redirected_at timestamptz, trace_id text,
    CONSTRAINT pk_clicks PRIMARY KEY (id, clicked_at)
) PARTITION BY RANGE (clicked_at);
CREATE INDEX ix_clicks_customer_id_clicked_at ON clicks (customer_id, clicked_at);
CREATE INDEX ix_clicks_merchant_id_clicked_at ON clicks (merchant_id, clicked_at);
"""

CONVERSIONS = """
CREATE TABLE conversion_events (
    id uuid DEFAULT uuidv7() NOT NULL, source text NOT NULL, external_event_id text NOT NULL, door text NOT NULL,
    raw bytea NOT NULL, fields jsonb NOT NULL, raw_status text NOT NULL, mapping_version integer,
    received_at timestamptz DEFAULT now() NOT NULL, handled_at timestamptz, outcome text, error text, message text,
    conversion_id uuid, actor text NOT NULL, trace_id text,
    CONSTRAINT pk_conversion_events PRIMARY KEY (id),
    CONSTRAINT uq_conversion_events_source_external_event_id UNIQUE (source, external_event_id),
    CONSTRAINT ck_conversion_events_door CHECK (door IN ('postback', 'grpc', 'file', 'operator')),
    CONSTRAINT ck_conversion_events_outcome CHECK (outcome IN ('applied', 'ignored', 'unknown_status', 'refused'))
);
CREATE INDEX ix_conversion_events_conversion_id ON conversion_events (conversion_id);
CREATE INDEX ix_conversion_events_unresolved ON conversion_events (received_at)
    WHERE outcome IN ('unknown_status', 'refused');
CREATE TABLE conversions (
    id uuid DEFAULT uuidv7() NOT NULL, source text NOT NULL, network_id uuid, external_id text NOT NULL,
    merchant_id uuid NOT NULL, click_id uuid, customer_id uuid, state text NOT NULL, network_state text NOT NULL,
    raw_status text NOT NULL, mapping_version integer, order_amount_minor bigint NOT NULL,
    commission_minor bigint NOT NULL, currency varchar(3) NOT NULL, rate_category text DEFAULT '' NOT NULL,
    customer_type text DEFAULT 'unknown' NOT NULL, occurred_at timestamptz NOT NULL,
    last_event_at timestamptz NOT NULL, reason_code text DEFAULT '' NOT NULL,
    network_reason text DEFAULT '' NOT NULL, attribution jsonb DEFAULT '[]' NOT NULL, posting_id uuid,
    trace_id text, created_at timestamptz DEFAULT now() NOT NULL, updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_conversions PRIMARY KEY (id),
    CONSTRAINT uq_conversions_source_external_id UNIQUE (source, external_id),
    CONSTRAINT ck_conversions_state CHECK (state IN ('unattributed', 'pending', 'approved', 'settled', 'declined')),
    CONSTRAINT ck_conversions_amounts CHECK (order_amount_minor >= 0 AND commission_minor >= 0),
    CONSTRAINT fk_conversions_network_id_affiliate_networks
        FOREIGN KEY (network_id) REFERENCES affiliate_networks (id),
    CONSTRAINT fk_conversions_merchant_id_merchants FOREIGN KEY (merchant_id) REFERENCES merchants (id),
    CONSTRAINT fk_conversions_customer_id_customers FOREIGN KEY (customer_id) REFERENCES customers (id),
    CONSTRAINT fk_conversions_posting_id_ledger_transactions
        FOREIGN KEY (posting_id) REFERENCES ledger_transactions (id)
);
CREATE INDEX ix_conversions_click_id ON conversions (click_id) WHERE click_id IS NOT NULL;
CREATE INDEX ix_conversions_merchant_id_created_at ON conversions (merchant_id, created_at);
CREATE INDEX ix_conversions_state_id ON conversions (state, id);
CREATE TABLE conversion_adjustments (
    id uuid DEFAULT uuidv7() NOT NULL, conversion_id uuid NOT NULL, event_id uuid NOT NULL,
    order_amount_before_minor bigint NOT NULL, order_amount_after_minor bigint NOT NULL,
    commission_before_minor bigint NOT NULL, commission_after_minor bigint NOT NULL,
    reward_before_minor bigint NOT NULL, reward_after_minor bigint NOT NULL, network_reason text NOT NULL,
    transaction_id uuid, at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_conversion_adjustments PRIMARY KEY (id),
    CONSTRAINT fk_conversion_adjustments_conversion_id_conversions
        FOREIGN KEY (conversion_id) REFERENCES conversions (id),
    CONSTRAINT fk_conversion_adjustments_event_id_conversion_events
        FOREIGN KEY (event_id) REFERENCES conversion_events (id),
    CONSTRAINT fk_conversion_adjustments_transaction_id_ledger_transactions
        FOREIGN KEY (transaction_id) REFERENCES ledger_transactions (id)
);
CREATE INDEX ix_conversion_adjustments_conversion_id ON conversion_adjustments (conversion_id);
CREATE TABLE status_mappings (
    id uuid DEFAULT uuidv7() NOT NULL, source text NOT NULL, version integer NOT NULL, mapping jsonb NOT NULL,
    created_by text NOT NULL, created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_status_mappings PRIMARY KEY (id),
    CONSTRAINT uq_status_mappings_source_version UNIQUE (source, version),
    CONSTRAINT ck_status_mappings_version CHECK (version >= 1)
);
CREATE TABLE rewards (
    id uuid DEFAULT uuidv7() NOT NULL, conversion_id uuid NOT NULL, customer_id uuid NOT NULL,
    merchant_id uuid NOT NULL, state text NOT NULL, amount_minor bigint NOT NULL, currency varchar(3) NOT NULL,
    rate_schedule_version integer NOT NULL, pricing jsonb NOT NULL, reason_code text DEFAULT '' NOT NULL,
    expected_confirmation_at timestamptz NOT NULL, enquired_at timestamptz, confirmed_at timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL, updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_rewards PRIMARY KEY (id),
    CONSTRAINT uq_rewards_conversion_id UNIQUE (conversion_id),
    CONSTRAINT ck_rewards_state CHECK (state IN ('pending', 'confirmed', 'declined', 'held', 'reversed')),
    CONSTRAINT ck_rewards_amount_minor CHECK (amount_minor >= 0),
    CONSTRAINT fk_rewards_conversion_id_conversions FOREIGN KEY (conversion_id) REFERENCES conversions (id),
    CONSTRAINT fk_rewards_customer_id_customers FOREIGN KEY (customer_id) REFERENCES customers (id),
    CONSTRAINT fk_rewards_merchant_id_merchants FOREIGN KEY (merchant_id) REFERENCES merchants (id)
);
CREATE INDEX ix_rewards_customer_id_id ON rewards (customer_id, id);
CREATE INDEX ix_rewards_overdue ON rewards (expected_confirmation_at) WHERE state = 'pending' AND enquired_at IS NULL;
CREATE TABLE claims (
    id uuid DEFAULT uuidv7() NOT NULL, customer_id uuid NOT NULL, merchant_id uuid NOT NULL, state text NOT NULL,
    reason_code text NOT NULL, click_id uuid NOT NULL, order_id text NOT NULL, order_amount_minor bigint NOT NULL,
    currency varchar(3) NOT NULL, note text DEFAULT '' NOT NULL, decision_code text DEFAULT '' NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL, updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_claims PRIMARY KEY (id),
    CONSTRAINT ck_claims_state
        CHECK (state IN ('submitted', 'info_required', 'sent_to_merchant', 'approved', 'declined', 'expired')),
    CONSTRAINT ck_claims_order_amount_minor CHECK (order_amount_minor > 0),
    CONSTRAINT uq_claims_customer_id_merchant_id_order_id UNIQUE (customer_id, merchant_id, order_id),
    CONSTRAINT fk_claims_customer_id_customers FOREIGN KEY (customer_id) REFERENCES customers (id),
    CONSTRAINT fk_claims_merchant_id_merchants FOREIGN KEY (merchant_id) REFERENCES merchants (id)
);
CREATE INDEX ix_claims_customer_id_id ON claims (customer_id, id);
CREATE INDEX ix_claims_state_id ON claims (state, id);
"""

PAYOUTS = """
CREATE TABLE payouts (
    id uuid DEFAULT uuidv7() NOT NULL, customer_id uuid NOT NULL, payout_method_id uuid NOT NULL,
    destination text NOT NULL, amount_minor bigint NOT NULL, currency varchar(3) NOT NULL, state text NOT NULL,
    reason_code text DEFAULT '' NOT NULL, provider text NOT NULL, provider_reference text, sent_at timestamptz,
    finished_at timestamptz, trace_id text, created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_payouts PRIMARY KEY (id),
    CONSTRAINT ck_payouts_state
        CHECK (state IN ('requested', 'held', 'processing', 'succeeded', 'failed', 'cancelled', 'unknown')),
    CONSTRAINT ck_payouts_amount_minor CHECK (amount_minor > 0),
    CONSTRAINT fk_payouts_customer_id_customers FOREIGN KEY (customer_id) REFERENCES customers (id),
    CONSTRAINT fk_payouts_payout_method_id_payout_methods
        FOREIGN KEY (payout_method_id) REFERENCES payout_methods (id)
);
CREATE INDEX ix_payouts_customer_id_id ON payouts (customer_id, id);
CREATE INDEX ix_payouts_unsettled ON payouts (updated_at) WHERE state IN ('processing', 'unknown');
CREATE TABLE sandbox_payouts (
    key uuid NOT NULL, amount_minor bigint NOT NULL, currency varchar(3) NOT NULL, status text NOT NULL,
    reason text DEFAULT '' NOT NULL, at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_sandbox_payouts PRIMARY KEY (key),
    CONSTRAINT ck_sandbox_payouts_status CHECK (status IN ('paid', 'failed'))
);
"""

# Holds invariant I1, whoever inserts. A posting's entries come in one statement and none is added later. Plans that
# a session made while the tables were empty must not scan them later, hence enable_seqscan.
CHECK_ENTRIES = """
CREATE FUNCTION check_ledger_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
    SELECT mine.transaction_id INTO broken
    FROM (SELECT transaction_id, count(*) AS entries FROM added GROUP BY transaction_id) AS mine
    WHERE mine.entries <> (SELECT count(*) FROM ledger_entries AS e WHERE e.transaction_id = mine.transaction_id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % is posted already', broken USING ERRCODE = 'WL005';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_ledger_entries();
"""

# A posting in one round trip: the transaction, accounts that are new, the entries, and the guarded balances.
# WL001: this cause has been posted. WL002: a customer's account would fall below zero; the detail is its path.
POST = """
CREATE FUNCTION post_ledger_transaction(
    p_id uuid, p_kind text, p_source text, p_external_id text, p_description text, p_trace_id text,
    p_resolves_id uuid, p_reverses_id uuid, p_amends_id uuid,
    p_paths text[], p_currencies text[], p_amounts_minor bigint[]
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    line record;
BEGIN
    INSERT INTO ledger_transactions
        (id, kind, source, external_id, description, trace_id, resolves_id, reverses_id, amends_id)
    VALUES (p_id, p_kind, p_source, p_external_id, p_description, p_trace_id, p_resolves_id, p_reverses_id,
        p_amends_id)
    ON CONFLICT (source, external_id) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% % is posted already', p_source, p_external_id USING ERRCODE = 'WL001';
    END IF;

    -- Looked for first: a conflict would use up an id of the sequence for every posting.
    INSERT INTO ledger_accounts (path, currency, normal_side, customer_id)
    SELECT DISTINCT given.path, given.currency,
        CASE WHEN split_part(given.path, ':', 1) IN ('assets', 'expenses') THEN 'debit' ELSE 'credit' END,
        substring(given.path FROM ':customer:([0-9a-f-]{36})')::uuid
    FROM unnest(p_paths, p_currencies) AS given (path, currency)
    WHERE NOT EXISTS (
        SELECT FROM ledger_accounts AS a WHERE a.path = given.path AND a.currency = given.currency
    )
    ORDER BY 1, 2
    ON CONFLICT (path, currency) DO NOTHING;
    IF FOUND THEN
        INSERT INTO ledger_balances (account_id)
        SELECT DISTINCT a.id FROM unnest(p_paths, p_currencies) AS given (path, currency)
        JOIN ledger_accounts AS a ON a.path = given.path AND a.currency = given.currency
        WHERE a.customer_id IS NOT NULL
        ON CONFLICT (account_id) DO NOTHING;
    END IF;

    INSERT INTO ledger_entries (transaction_id, account_id, amount_minor, currency)
    SELECT p_id, a.id, given.amount_minor, given.currency
    FROM unnest(p_paths, p_currencies, p_amounts_minor) WITH ORDINALITY
        AS given (path, currency, amount_minor, position)
    JOIN ledger_accounts AS a ON a.path = given.path AND a.currency = given.currency
    ORDER BY given.position;

    -- Always in one order, whatever the posting: two that meet must not wait for each other.
    FOR line IN
        SELECT a.id, a.path,
            sum(CASE a.normal_side WHEN 'debit' THEN given.amount_minor ELSE -given.amount_minor END)::bigint AS change
        FROM unnest(p_paths, p_currencies, p_amounts_minor) AS given (path, currency, amount_minor)
        JOIN ledger_accounts AS a ON a.path = given.path AND a.currency = given.currency
        WHERE a.customer_id IS NOT NULL
        GROUP BY a.id, a.path ORDER BY a.path DESC, a.id
    LOOP
        UPDATE ledger_balances SET balance_minor = balance_minor + line.change, updated_at = now()
        WHERE account_id = line.id AND balance_minor + line.change >= 0;
        IF NOT FOUND THEN
            RAISE EXCEPTION '% would fall below zero', line.path USING ERRCODE = 'WL002', DETAIL = line.path;
        END IF;
    END LOOP;
END $$;
"""

# In a schema of their own: a dozen tables a year. The application may not create tables, so this runs as the owner.
PARTITIONS = """
CREATE SCHEMA click_partitions;
CREATE TABLE click_partitions.clicks_default PARTITION OF clicks DEFAULT;
CREATE FUNCTION ensure_click_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts timestamptz;
    ends timestamptz;
    name text;
    made integer := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead must be between 0 and 24';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('click partitions', 0));
    FOR step IN 0..months_ahead LOOP
        starts := date_trunc('month', now(), 'UTC') + make_interval(months => step);
        starts := date_trunc('month', starts + interval '12 hours', 'UTC');
        ends := date_trunc('month', starts + interval '32 days', 'UTC');
        name := 'clicks_' || to_char(starts AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass('click_partitions.' || name) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE click_partitions.%I (LIKE public.clicks INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        -- Only where this function had not run for long.
        EXECUTE format(
            'WITH moved AS (DELETE FROM click_partitions.clicks_default WHERE clicked_at >= %L AND clicked_at < %L'
            ' RETURNING *) INSERT INTO click_partitions.%I SELECT * FROM moved', starts, ends, name);
        EXECUTE format(
            'ALTER TABLE public.clicks ATTACH PARTITION click_partitions.%I FOR VALUES FROM (%L) TO (%L)',
            name, starts, ends);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION ensure_click_partitions(integer) FROM PUBLIC;
"""

APPEND_ONLY = (
    "ledger_accounts",
    "ledger_transactions",
    "ledger_entries",
    "state_changes",
    "conversion_adjustments",
    "status_mappings",
    "sandbox_payouts",
)
# What an event said is never changed; what became of it is noted beside it.
EVENT_PRIVILEGES = "SELECT, INSERT, UPDATE (handled_at, outcome, error, message, conversion_id, mapping_version)"


def _run(script: str) -> None:
    """asyncpg prepares what it executes, one statement at a time; `;` at a line's end ends one outside of $$."""
    statement: list[str] = []
    in_body = False
    for line in script.strip().splitlines():
        statement.append(line)
        in_body ^= line.count("$$") % 2 == 1
        if line.endswith(";") and not in_body:
            op.execute("\n".join(statement).rstrip(";").replace(":", r"\:"))
            statement.clear()


def upgrade() -> None:
    for script in (LEDGER, CLICKS, PARTITIONS, CONVERSIONS, PAYOUTS, CHECK_ENTRIES, POST):
        _run(script)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        grant(table, "SELECT, INSERT")
    for table in ("ledger_balances", "conversions", "rewards", "claims", "payouts"):
        grant(table, "SELECT, INSERT, UPDATE")
    grant("conversion_events", EVENT_PRIVILEGES)
    grant("clicks", "SELECT, INSERT, UPDATE (redirected_at)")
    op.execute(f"GRANT EXECUTE ON FUNCTION ensure_click_partitions(integer) TO {APP_ROLE}")
    op.execute("SELECT ensure_click_partitions(3)")


def downgrade() -> None:
    op.execute("DROP FUNCTION ensure_click_partitions(integer)")
    op.execute("DROP FUNCTION post_ledger_transaction")
    for table in (
        "sandbox_payouts",
        "payouts",
        "claims",
        "rewards",
        "conversion_adjustments",
        "conversions",
        "conversion_events",
        "status_mappings",
        "clicks",
        "state_changes",
        "ledger_balances",
        "ledger_entries",
        "ledger_transactions",
        "ledger_accounts",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION check_ledger_entries()")
    op.execute("DROP SCHEMA click_partitions")
