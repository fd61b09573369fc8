"""Exceptions, the rules among them, and how checks are treated."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of ``postern.measures`` and ``postern.policy``."""
    op.create_table(
        "temporary",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("until", sa.Double),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("ended_by", sa.String(255), nullable=False),
    )
    op.create_index("temporary_kind", "temporary", ["kind", "ended_at"])
    op.create_table(
        "rule",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "id",
            sa.String(26),
            sa.ForeignKey("temporary.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("scope", sa.String(1), nullable=False),
        sa.Column("place", sa.String(1024), nullable=False),
        sa.Column("match_kind", sa.String(16), nullable=False),
        sa.Column("match_value", sa.String(1024), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("waives", sa.Text, nullable=False),
        sa.Column("unproven", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("rule_place", "rule", ["place", "scope"])
    op.create_table(
        "treatment",
        sa.Column("domain", sa.String(255), primary_key=True),
        sa.Column("check_id", sa.String(64), primary_key=True),
        sa.Column("treatment", sa.String(16), nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("set_at", sa.Double, nullable=False),
    )
