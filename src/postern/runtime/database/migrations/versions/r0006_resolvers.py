"""Zones whose names are looked up through another resolver first."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of ``postern.routing.zones``."""
    op.create_table(
        "forward_zone",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "id",
            sa.String(26),
            sa.ForeignKey("temporary.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("zone", sa.String(255), nullable=False),
        sa.Column("via", sa.String(255), nullable=False),
        sqlite_autoincrement=True,
    )
