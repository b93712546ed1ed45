"""The schema number of each record; the state of every account, made with it from now on."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A column with a constant default is added without rewriting the table.
_STATEMENTS = (
    "ALTER TABLE records ADD COLUMN schema integer NOT NULL DEFAULT 1",
    """
    INSERT INTO sync_state (user_id, epoch)
    SELECT id, left(md5(random()::text || clock_timestamp()::text || id), 16) FROM users
    ON CONFLICT (user_id) DO NOTHING
    """,
)


def upgrade() -> None:
    """Add the column and the rows."""
    for statement in _STATEMENTS:
        op.execute(statement)
