"""What the application's role may do. The schema's owner migrates; the application never owns a table."""

from alembic import op

APP_ROLE = "wapsi_app"


def grant(table: str, privileges: str) -> None:
    """`grant("clicks", "SELECT, INSERT")`: append-only, whatever the code tries."""
    op.execute(f"GRANT {privileges} ON {table} TO {APP_ROLE}")
