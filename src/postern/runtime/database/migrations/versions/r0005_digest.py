"""Letters about held mail, and what they named."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of ``postern.queue.store.tellings``."""
    op.create_table(
        "digest",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(1024), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("told_at", sa.Double),
        sa.UniqueConstraint("owner", "day"),
    )
    op.create_index("digest_told", "digest", ["told_at"])
    op.create_table(
        "digest_line",
        sa.Column("message", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(
            "digest",
            sa.BigInteger,
            sa.ForeignKey("digest.number", ondelete="CASCADE"),
            nullable=False,
        ),
    )
    op.create_index("digest_line_digest", "digest_line", ["digest"])
    op.create_table(
        "digest_day",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("ended_at", sa.Double, nullable=False),
    )
