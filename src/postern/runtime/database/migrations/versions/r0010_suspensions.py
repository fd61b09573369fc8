"""MX groups whose mail somebody keeps waiting."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of ``postern.queue.store.suspensions``."""
    op.create_table(
        "suspension",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "id",
            sa.String(26),
            sa.ForeignKey("temporary.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("mx_group", sa.String(255), nullable=False),
        sqlite_autoincrement=True,
    )
