"""Applies versions on the connection that the caller has opened. Alembic runs this file."""

from __future__ import annotations

from alembic import context

from clearml_hpo.gateway.db.tables import metadata

_config = context.config
context.configure(
    connection=_config.attributes["connection"],
    target_metadata=metadata,
    version_table="schema_version",
    version_table_schema=_config.attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
