-- Run once by the postgres image, as superuser, when the volume is empty: the two roles and the database.
-- wapsi_owner owns the schema and migrates; wapsi_app is what serve, worker and scheduler connect as.

\set owner_password `cat /run/secrets/wapsi_owner_password`
\set owner_failed :SHELL_ERROR
\set app_password `cat /run/secrets/wapsi_app_password`
\set app_failed :SHELL_ERROR
SELECT :'owner_failed'::boolean OR :'app_failed'::boolean OR '' IN (:'owner_password', :'app_password') AS incomplete
\gset
\if :incomplete
    DO $$ BEGIN RAISE EXCEPTION 'the passwords in /run/secrets cannot be read: run deploy/make-secrets.sh'; END $$;
\endif

CREATE ROLE wapsi_owner LOGIN PASSWORD :'owner_password';

-- The timeouts stand on the role and not in the session, so that they hold behind a transaction pooler too. They are
-- ROLE_TIMEOUTS of wapsi.migrations.run, which sets them only where it makes the role itself.
CREATE ROLE wapsi_app LOGIN PASSWORD :'app_password';
ALTER ROLE wapsi_app SET statement_timeout = '30s';
ALTER ROLE wapsi_app SET lock_timeout = '10s';
ALTER ROLE wapsi_app SET idle_in_transaction_session_timeout = '60s';

CREATE DATABASE wapsi OWNER wapsi_owner ENCODING 'UTF8' LOCALE_PROVIDER builtin LOCALE 'C.UTF-8' TEMPLATE template0;
REVOKE ALL ON DATABASE wapsi FROM PUBLIC;
-- TEMPORARY: the publication of a feed copies what changed into a temporary table.
GRANT CONNECT, TEMPORARY ON DATABASE wapsi TO wapsi_app;
