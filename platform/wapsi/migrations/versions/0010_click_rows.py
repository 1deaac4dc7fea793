"""Receipts lie in the rows of their clicks: what is signed does not get smaller by compressing it.

Past 2 kB, which a receipt with some ten rates has, a row would be tried to be compressed, and then be put aside. The
answers that are kept for repeated requests have the same receipts in them.
"""

from importlib import import_module

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Nearly a page: a longer row is put aside as before.
_IN_THE_ROW = "toast_tuple_target = 8160"
_EVERY_PARTITION = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'clicks'::regclass
    LOOP EXECUTE 'ALTER TABLE ' || name || ' {action}'; END LOOP;
END $$
"""


def _function() -> str:
    """The one of revision 0005, as text."""
    before = import_module("wapsi.migrations.versions.0005_cashback").PARTITIONS
    return str(before[before.index("CREATE FUNCTION") : before.index("REVOKE")])


def _replace(function: str) -> None:
    op.execute(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(":", r"\:"))


def upgrade() -> None:
    op.execute(_EVERY_PARTITION.format(action=f"SET ({_IN_THE_ROW})").replace(":", r"\:"))
    op.execute(f"ALTER TABLE idempotent_answers SET ({_IN_THE_ROW})")
    like = "INCLUDING CONSTRAINTS)'"
    made = _function()
    assert like in made
    _replace(made.replace(like, f"INCLUDING CONSTRAINTS) WITH ({_IN_THE_ROW})'"))


def downgrade() -> None:
    _replace(_function())
    op.execute("ALTER TABLE idempotent_answers RESET (toast_tuple_target)")
    op.execute(_EVERY_PARTITION.format(action="RESET (toast_tuple_target)").replace(":", r"\:"))
