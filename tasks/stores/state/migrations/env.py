"""What alembic runs around migrations: the connection, and its transaction, are those of `upgrade`."""

from alembic import context

from tasks.stores.state.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
