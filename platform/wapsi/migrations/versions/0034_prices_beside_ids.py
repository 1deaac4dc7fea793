"""Lists of the newest know prices from the index: a brand whose offers hardly any has the price that is asked for
otherwise reads each of its offers, a hundred thousand where ten are shown.

The wider indexes take the place of those that end with the id, which are made again where the migration is taken back.
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0032"
branch_labels = None
depends_on = None

_PRICES = ("currency", "price_minor", "net_minor")
_TABLE = "offer_listings"
# The columns of each, and of which rows it is.
_INDEXES = tuple(
    ([*columns, "id"], f"{column} <> ''")
    for column in ("brand", "category")
    for columns in ([column], ["merchant_id", column])
)


def upgrade() -> None:
    # The new one first: the release that runs is never without.
    for columns, where in _INDEXES:
        _make(_wide(columns), [*columns, *_PRICES], where)
        _drop(_narrow(columns))


def downgrade() -> None:
    for columns, where in _INDEXES:
        _make(_narrow(columns), columns, where)
        _drop(_wide(columns))


def _narrow(columns: list[str]) -> str:
    return f"ix_{_TABLE}_{'_'.join(columns)}"


def _wide(columns: list[str]) -> str:
    return f"{_narrow(columns)}_prices"


def _make(name: str, columns: list[str], where: str) -> None:
    # One that was broken off is there, and is of no use.
    with op.get_context().autocommit_block():
        op.drop_index(name, _TABLE, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            *(name, _TABLE, columns),
            postgresql_concurrently=True,
            if_not_exists=True,
            postgresql_where=sa.text(where),
        )


def _drop(name: str) -> None:
    with op.get_context().autocommit_block():
        op.drop_index(name, _TABLE, postgresql_concurrently=True, if_exists=True)
