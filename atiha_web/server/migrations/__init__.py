"""The database's schema, step by step (Alembic); run by ``atiha_web.server.schema``."""
