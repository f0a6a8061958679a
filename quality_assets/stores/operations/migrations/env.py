"""How Alembic runs a revision here: over the connection that it is given, in its transaction."""

from __future__ import annotations

from alembic import context

from quality_assets.stores.operations.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    # SQLite changes a table by making it anew.
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
)
context.run_migrations()
