"""DKIM keys of domains."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of ``postern.directory.store.tables``."""
    op.create_table(
        "dkim_key",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("domain_id", sa.String(26), sa.ForeignKey("domain.id"), nullable=False),
        sa.Column("selector", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("bits", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("pem", sa.Text, nullable=False),
        sa.UniqueConstraint("domain_id", "selector"),
    )
