"""Every SQL statement of the sync, in one place.

Each names ``user_id = $1`` on every table it reads and touches ``sync_state`` and ``records``
only, so a PostgreSQL that shards by user can run it on one node (``RENEW_EPOCHS``, run by hand
after a restore, is the exception).
"""

from __future__ import annotations

# ruff: noqa: S608 - the only text put into a statement is this list of columns
_COLUMNS = "r.collection, r.key, r.version, r.timestamp, r.data, r.schema"

CREATE_STATE = """
INSERT INTO sync_state (user_id, epoch) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING
"""

LOCK_STATE = """
SELECT epoch, counter, digest FROM sync_state WHERE user_id = $1 FOR UPDATE
"""

WRITE_STATE = """
UPDATE sync_state SET counter = $2, digest = $3 WHERE user_id = $1
"""

POLL = f"""
SELECT s.epoch, s.counter, s.digest, {_COLUMNS}
FROM sync_state s
LEFT JOIN LATERAL (
    SELECT {_COLUMNS} FROM records r
    WHERE r.user_id = $1 AND r.version > $2 ORDER BY r.version LIMIT $3
) r ON true
WHERE s.user_id = $1
ORDER BY r.version
"""

READ = f"""
SELECT {_COLUMNS} FROM records r
WHERE r.user_id = $1
    AND (r.collection, r.key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
"""

CHANGES = f"""
SELECT {_COLUMNS} FROM records r
WHERE r.user_id = $1 AND r.version > $2 AND r.version <= $3 ORDER BY r.version LIMIT $4
"""

WRITE = """
INSERT INTO records (user_id, collection, key, version, timestamp, deleted, data, schema)
SELECT s.user_id, x.collection, x.key, x.version, x.timestamp, x.data IS NULL, x.data::jsonb,
    x.schema
FROM sync_state s,
    unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::int[])
        AS x (collection, key, version, timestamp, data, schema)
WHERE s.user_id = $1
ON CONFLICT (user_id, collection, key) DO UPDATE SET
    version = excluded.version,
    timestamp = excluded.timestamp,
    deleted = excluded.deleted,
    data = excluded.data,
    schema = excluded.schema
"""

LIST = f"""
SELECT {_COLUMNS} FROM records r
WHERE r.user_id = $1 AND r.collection = $2 AND NOT r.deleted
ORDER BY r.timestamp DESC LIMIT $3
"""

PAGE = f"""
SELECT {_COLUMNS} FROM records r
WHERE r.user_id = $1 AND (r.collection, r.key) > ($2, $3) AND NOT r.deleted
ORDER BY r.collection, r.key LIMIT $4
"""

DELETE_RECORDS = """
DELETE FROM records WHERE user_id = $1
"""

DELETE_STATE = """
DELETE FROM sync_state WHERE user_id = $1
"""

RENEW_EPOCHS = """
UPDATE sync_state SET epoch = left(md5(random()::text || clock_timestamp()::text || user_id), 16)
"""
