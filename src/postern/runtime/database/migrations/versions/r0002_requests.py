"""Commands to running workers, and their answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of ``postern.queue.store.requests``."""
    op.create_table(
        "request",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "request_answer",
        sa.Column(
            "request_id",
            sa.Integer,
            sa.ForeignKey("request.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("worker", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("is_done", sa.Boolean, nullable=False),
    )
