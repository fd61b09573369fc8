"""Routes that people or Postern made, and what Postern may do by itself for an MX group."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of ``postern.routing.routes``."""
    op.create_table(
        "route",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "id",
            sa.String(26),
            sa.ForeignKey("temporary.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("match", sa.String(16), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("via", sa.String(255), nullable=False),
        sa.Column("is_automatic", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "route_policy",
        sa.Column("mx_group", sa.String(255), primary_key=True),
        sa.Column("policy", sa.String(16), nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("set_at", sa.Double, nullable=False),
    )
