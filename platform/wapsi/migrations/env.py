"""Run by alembic: migrates over the connection that `wapsi.migrations.run` hands it."""

from alembic import context

# A lock that is not had soon is given up: a migration must not queue all traffic behind itself.
LOCK_TIMEOUT = "5s"

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=context.config.attributes.get("metadata"),
    transaction_per_migration=True,
)
with context.begin_transaction():
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    context.run_migrations()
