"""Records, the state of their sync, accounts and their tokens."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Timestamps and keys are compared byte by byte, as Python compares them. No foreign key leads
# from records to users: accounts may live elsewhere, and records may be sharded by user.
_STATEMENTS = (
    """
    CREATE TABLE sync_state (
        user_id text COLLATE "C" PRIMARY KEY,
        epoch text NOT NULL,
        counter bigint NOT NULL DEFAULT 0,
        digest bigint NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE records (
        user_id text COLLATE "C" NOT NULL,
        collection text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        timestamp text COLLATE "C" NOT NULL,
        deleted boolean NOT NULL,
        data jsonb,
        PRIMARY KEY (user_id, collection, key),
        CHECK (deleted = (data IS NULL))
    )
    """,
    "CREATE INDEX records_by_version ON records (user_id, version)",
    """
    CREATE TABLE users (
        id text COLLATE "C" PRIMARY KEY,
        email text NOT NULL UNIQUE,
        name text NOT NULL,
        password_hash text NOT NULL,
        role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE tokens (
        hash bytea PRIMARY KEY,
        user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX tokens_by_user ON tokens (user_id)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
