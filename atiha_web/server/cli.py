"""The command ``atiha-web``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from atiha_web.collections import BUILT_IN
from atiha_web.errors import AtihaError
from atiha_web.models import User
from atiha_web.server import schema
from atiha_web.server.accounts import Accounts, normalise_email
from atiha_web.server.app import create_app
from atiha_web.server.database import Database
from atiha_web.server.embedded import open_database
from atiha_web.server.errors import ServerError
from atiha_web.server.listening import serve, terminate_as_exit

DEFAULT_DATA = Path("atiha-data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        with terminate_as_exit(), open_database(chosen.database_url, chosen.data) as url:
            chosen.run(chosen, url)
    except AtihaError as error:
        sys.stderr.write(f"atiha-web: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "atiha-web", description="The server that keeps users' data in PostgreSQL."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("serve", help="run the API", description="Run the API.")
    run.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    run.add_argument("--port", type=int, default=8000, help="0 picks a free one (%(default)s)")
    run.add_argument(
        "--poll-after",
        type=float,
        metavar="SECONDS",
        help="when clients with nothing to send shall ask again (default: as each of them likes)",
    )
    _add_database(run, _serve)
    database = commands.add_parser("db", help="look after the database")
    chores = database.add_subparsers(metavar="CHORE", required=True)
    _add_database(
        chores.add_parser(
            "upgrade",
            help="bring the schema up to date; `serve` does it too",
            description="Bring the schema up to date and declare the views of the collections.",
        ),
        _upgrade,
    )
    _add_database(
        chores.add_parser(
            "restored",
            help="run it after restoring a backup",
            description="Tell every client to read all again and to send what the backup lacks.",
        ),
        _restored,
    )
    users = commands.add_parser("users", help="look after accounts")
    roles = users.add_subparsers(metavar="CHORE", required=True)
    for name, role, words in (
        ("promote", "admin", "let somebody see all accounts"),
        ("demote", "user", "take that back"),
    ):
        chore = roles.add_parser(name, help=words, description=f"{words.capitalize()}.")
        chore.add_argument("email", metavar="EMAIL", help="the account's address")
        chore.set_defaults(role=role)
        _add_database(chore, _set_role)
    return parser


def _add_database(parser: argparse.ArgumentParser, run: object) -> None:
    parser.set_defaults(run=run)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=DEFAULT_DATA,
        help="folder of the embedded PostgreSQL, made when missing (%(default)s)",
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        default=os.environ.get("ATIHA_DATABASE_URL"),
        help="a PostgreSQL 14 or newer instead of the embedded one "
        "(default: the environment's ATIHA_DATABASE_URL)",
    )


def _serve(chosen: argparse.Namespace, url: str) -> None:
    app = create_app(url, poll_after=chosen.poll_after)
    serve(app, host=chosen.host, port=chosen.port)


def _upgrade(_chosen: argparse.Namespace, url: str) -> None:
    asyncio.run(schema.upgrade(url, BUILT_IN))
    sys.stdout.write("the database is up to date\n")


def _restored(_chosen: argparse.Namespace, url: str) -> None:
    async def renew() -> int:
        async with Database(url) as database:
            return await database.rows.renew_epochs()

    sys.stdout.write(f"{asyncio.run(renew())} users will read everything again\n")


def _set_role(chosen: argparse.Namespace, url: str) -> None:
    async def change() -> User | None:
        async with Database(url) as database:
            return await Accounts(database).set_role(normalise_email(chosen.email), chosen.role)

    user = asyncio.run(change())
    if user is None:
        raise ServerError(f"there is no account with the address {chosen.email!r}")
    words = "an administrator" if user.role == "admin" else "no administrator"
    sys.stdout.write(f"{user.email} is {words} now\n")


if __name__ == "__main__":
    sys.exit(main())
