"""Accounts that may send nothing for now."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of ``postern.directory.store.freezes``."""
    op.create_table(
        "freeze",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(26), nullable=False, unique=True),
        sa.Column("account", sa.String(1024), nullable=False),
        sqlite_autoincrement=True,
    )
