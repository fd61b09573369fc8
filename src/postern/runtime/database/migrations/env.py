"""Alembic's entry: runs the migrations on the connection that ``migrate`` handed over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
# No transaction here: migrate() holds one around everything, also around SQLite's DDL.
context.run_migrations()
