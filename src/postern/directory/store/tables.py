"""The tables as SQLAlchemy Core sees them; migrations make them (a test holds both together)."""

import sqlalchemy as sa

metadata = sa.MetaData()

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

domain = sa.Table(
    "domain",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("gateway_host", sa.String(255)),
    sa.Column("gateway_port", sa.Integer),
    sa.Column("catch_all", sa.String(1024)),
    sa.Column("separator", sa.String(1)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("quota_bytes", sa.BigInteger),
)

mailbox = sa.Table(
    "mailbox",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("domain_id", sa.String(26), sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("local", sa.String(255), nullable=False),
    sa.Column("password_hash", sa.String(255)),
    sa.Column("quota_bytes", sa.BigInteger),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.UniqueConstraint("domain_id", "local"),
)

alias = sa.Table(
    "alias",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("domain_id", sa.String(26), sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("local", sa.String(255), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.UniqueConstraint("domain_id", "local"),
)

alias_target = sa.Table(
    "alias_target",
    metadata,
    sa.Column(
        "alias_id", sa.String(26), sa.ForeignKey("alias.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("target", sa.String(1024), nullable=False),
    sa.Index("alias_target_target", "target"),
)

dkim_key = sa.Table(
    "dkim_key",
    metadata,
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

change = sa.Table(
    "change",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("noun", sa.String(32), nullable=False),
    sa.Column("row_id", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("new_values", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
