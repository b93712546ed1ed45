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
from atiha_web.server import schema
from atiha_web.server.app import create_app
from atiha_web.server.database import Database
from atiha_web.server.embedded import open_database
from atiha_web.server.serve import serve, terminate_as_exit

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
    serve(create_app(url), host=chosen.host, port=chosen.port)


def _upgrade(_chosen: argparse.Namespace, url: str) -> None:
    asyncio.run(schema.upgrade(url, BUILT_IN))
    sys.stdout.write("the database is up to date\n")


def _restored(_chosen: argparse.Namespace, url: str) -> None:
    async def renew() -> int:
        async with Database(url) as database:
            return await database.rows.renew_epochs()

    sys.stdout.write(f"{asyncio.run(renew())} users will read everything again\n")


if __name__ == "__main__":
    sys.exit(main())
