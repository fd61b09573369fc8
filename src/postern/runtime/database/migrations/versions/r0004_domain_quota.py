"""How much all mailboxes of a domain may hold."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column to ``postern.directory``'s domains; no domain has a limit yet."""
    op.add_column("domain", sa.Column("quota_bytes", sa.BigInteger))
