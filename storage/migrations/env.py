"""Run by alembic: applies the migrations on the connection, and in the transaction, of open_database."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
