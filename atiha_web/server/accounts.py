"""Accounts and their tokens in PostgreSQL. Passwords and tokens are stored hashed only."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256

import asyncpg

from atiha_web.models import User
from atiha_web.server import statements
from atiha_web.server.auth import Caller
from atiha_web.server.database import Database
from atiha_web.server.rows import new_epoch

TOKEN_LIFE = timedelta(days=90)

# ruff: noqa: S608 - the only text put into a statement is column names written in this file
_COLUMNS = "id, email, name, role, created_at, updated_at"


class EmailTakenError(Exception):
    """Another account has this address."""


class Accounts:
    """Who may come in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _pool(self) -> asyncpg.Pool[asyncpg.Record]:
        return self._database.pool

    async def create(self, email: str, name: str, password_hash: str) -> User | None:
        """A new account, and where its sync begins; ``None`` if the address has an account."""
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(
                f"INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4) "
                f"ON CONFLICT (email) DO NOTHING RETURNING {_COLUMNS}",
                str(uuid.uuid4()),
                email,
                name,
                password_hash,
            )
            if found is not None:
                await connection.execute(statements.CREATE_STATE, found["id"], new_epoch())
        return _user(found)

    @asynccontextmanager
    async def updated(
        self, user_id: str, changes: dict[str, str], keep: str | None
    ) -> AsyncIterator[User | None]:
        """The account with ``name``, ``email`` or ``password_hash`` changed, if the block succeeds.

        With a new password all tokens but ``keep`` end. ``None`` if the account is gone.

        Raises:
            EmailTakenError: another account has that address.
        """
        names = sorted(changes.keys() & {"name", "email", "password_hash"})
        assignments = [f"{name} = ${number}" for number, name in enumerate(names, 2)]
        async with self._pool.acquire() as connection, connection.transaction():
            try:
                found = await connection.fetchrow(
                    f"UPDATE users SET {', '.join([*assignments, 'updated_at = now()'])} "
                    f"WHERE id = $1 RETURNING {_COLUMNS}",
                    user_id,
                    *(changes[name] for name in names),
                )
            except asyncpg.UniqueViolationError as error:
                raise EmailTakenError from error
            if "password_hash" in changes:
                await connection.execute(
                    "DELETE FROM tokens WHERE user_id = $1 AND hash <> $2",
                    user_id,
                    _hash(keep or ""),
                )
            yield _user(found)

    async def delete(self, user_id: str) -> None:
        """Remove the account, its tokens, and all of its records.

        Whoever is about to write for it waits for the lock, and finds nothing to write to then.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(statements.LOCK_STATE, user_id)
            await connection.execute("DELETE FROM users WHERE id = $1", user_id)
            await connection.execute(statements.DELETE_RECORDS, user_id)
            await connection.execute(statements.DELETE_STATE, user_id)

    async def set_role(self, email: str, role: str) -> User | None:
        """Make the account with this (normalised) address an ``admin``, or a ``user`` again."""
        return _user(
            await self._pool.fetchrow(
                f"UPDATE users SET role = $2, updated_at = now() WHERE email = $1 "
                f"RETURNING {_COLUMNS}",
                email,
                role,
            )
        )

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        query = f"SELECT {_COLUMNS} FROM users WHERE id = $1"
        return _user(await self._pool.fetchrow(query, user_id))

    async def find(self, email: str) -> User | None:
        """The account with this (normalised) address."""
        query = f"SELECT {_COLUMNS} FROM users WHERE email = $1"
        return _user(await self._pool.fetchrow(query, email))

    async def password_hash(self, email: str) -> str | None:
        """The hash to check a password against."""
        query = "SELECT password_hash FROM users WHERE email = $1"
        found: str | None = await self._pool.fetchval(query, email)
        return found

    async def page(self, after: str, limit: int) -> list[User]:
        """At most ``limit`` accounts in order of id, those after ``after``."""
        query = f"SELECT {_COLUMNS} FROM users WHERE id > $1 ORDER BY id LIMIT $2"
        found = await self._pool.fetch(query, after, limit)
        return [User(**dict(row)) for row in found]

    async def issue_token(self, user_id: str) -> str:
        """A new opaque token; only its hash is kept. The account's expired ones go."""
        token = secrets.token_urlsafe(32)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "DELETE FROM tokens WHERE user_id = $1 AND expires_at <= now()", user_id
            )
            await connection.execute(
                "INSERT INTO tokens (hash, user_id, expires_at) VALUES ($1, $2, now() + $3)",
                _hash(token),
                user_id,
                TOKEN_LIFE,
            )
        return token

    async def resolve(self, token: str) -> Caller | None:
        """Whose token it is; ``None`` if unknown, expired or revoked."""
        found = await self._pool.fetchrow(
            "SELECT u.id, u.role FROM tokens t JOIN users u ON u.id = t.user_id "
            "WHERE t.hash = $1 AND t.expires_at > now()",
            _hash(token),
        )
        return None if found is None else Caller(found["id"], found["role"])

    async def revoke(self, token: str) -> None:
        """Forget a token."""
        await self._pool.execute("DELETE FROM tokens WHERE hash = $1", _hash(token))


def normalise_email(email: str) -> str:
    """The form in which an address is unique."""
    return email.strip().casefold()


def _hash(token: str) -> bytes:
    # Tokens are 256 random bits, so a fast hash is enough to keep a stolen table useless.
    return sha256(token.encode(errors="surrogateescape")).digest()


def _user(found: asyncpg.Record | None) -> User | None:
    return None if found is None else User(**dict(found))
