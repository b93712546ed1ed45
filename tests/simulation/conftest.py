"""A real PostgreSQL for the tests that compare it with the rows in memory."""

from tests.server.fixtures import database_url, postgres, template

__all__ = ["database_url", "postgres", "template"]
