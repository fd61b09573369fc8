"""Addresses exempt from TLS, what is asked of TLS for domains, and which addresses are guarded."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of ``postern.routing.tls``."""
    op.create_table(
        "tls_exemption",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "id",
            sa.String(26),
            sa.ForeignKey("temporary.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("ip", sa.String(45), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("egress", sa.String(255), nullable=False),
        sa.Column("insists", sa.Boolean, nullable=False),
        sa.Column("is_learned", sa.Boolean, nullable=False),
        sa.Column("tested_at", sa.Double),
        sa.Column("good", sa.Integer, nullable=False),
        sa.Column("good_since", sa.Double),
        sa.Column("test_text", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tls_domain",
        sa.Column("domain", sa.String(255), primary_key=True),
        sa.Column("policy", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("set_at", sa.Double, nullable=False),
    )
    op.create_table(
        "tls_guarded",
        sa.Column("ip", sa.String(45), primary_key=True),
        sa.Column("domain", sa.String(255), primary_key=True),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
