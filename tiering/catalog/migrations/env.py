"""What alembic runs for each migration: uses the connection that tiering.catalog.upgrade hands in."""

from alembic import context

from tiering.catalog.bucket_tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
