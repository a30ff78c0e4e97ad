"""Lines of the audit say of which project they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the column, and fills it for lines of tokens."""
    schema = op.get_context().version_table_schema  # these two orders do not look it up themselves
    op.add_column("audit", sa.Column("project", sa.Text(), nullable=False, server_default=""), schema=schema)
    audit, tokens = (sa.table(name, sa.column(key), sa.column("project"), schema=schema) for name, key in _KEYS)
    of_token = sa.select(tokens.c.project).where(tokens.c.id == audit.c.token).scalar_subquery()
    op.execute(sa.update(audit).where(audit.c.token.in_(sa.select(tokens.c.id))).values(project=of_token))
    op.create_index(op.f("ix_audit_project"), "audit", ["project", "seq"], unique=False)


_KEYS = (("audit", "token"), ("tokens", "id"))
