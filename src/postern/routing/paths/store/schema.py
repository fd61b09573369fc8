"""The tables, and what a row means."""

from typing import Any

import sqlalchemy as sa

from postern.mail.paths import Path, Sign
from postern.routing.paths.health import PathCondition, PathState

FILE_NAME = "paths.db"
SCHEMA = 1

metadata = sa.MetaData()

path_table = sa.Table(
    "path",
    metadata,
    sa.Column("egress", sa.String(255), primary_key=True),
    sa.Column("ip", sa.String(45), primary_key=True),
    sa.Column("port", sa.Integer, primary_key=True),
    sa.Column("encrypted", sa.Boolean, primary_key=True),
    sa.Column("mx_group", sa.String(320), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("condition", sa.String(16), nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("last_sign", sa.String(16), nullable=False),
    sa.Column("last_error", sa.String(255), nullable=False),
    sa.Column("last_good_at", sa.Double),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("good", sa.Integer, nullable=False),
    sa.Column("avoid_until", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("counted_at", sa.Double, nullable=False),
    sa.Column("used_at", sa.Double, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("writer", sa.String(16), nullable=False),
    sa.Index("path_seq", "seq"),
    sa.Index("path_group", "mx_group"),
)

turn_table = sa.Table(
    "turn",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
)
"""One row: how many transactions have written paths. It never goes back, whatever is deleted."""

domain_table = sa.Table(
    "domain",
    metadata,
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("mx_group", sa.String(320), nullable=False),
    sa.Column("met_at", sa.Double, nullable=False),
    sa.Index("domain_group", "mx_group"),
    sa.Index("domain_age", "met_at"),
)

target_table = sa.Table(
    "target",
    metadata,
    sa.Column("mx_group", sa.String(320), primary_key=True),
    sa.Column("egress", sa.String(255), primary_key=True),
    sa.Column("ip", sa.String(45), primary_key=True),
    sa.Column("port", sa.Integer, primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("met_at", sa.Double, nullable=False),
    sa.Index("target_age", "met_at"),
)

probe_table = sa.Table(
    "probe",
    metadata,
    sa.Column("egress", sa.String(255), primary_key=True),
    sa.Column("ip", sa.String(45), primary_key=True),
    sa.Column("port", sa.Integer, primary_key=True),
    sa.Column("encrypted", sa.Boolean, primary_key=True),
    sa.Column("not_before", sa.Double, nullable=False),
    sa.Column("writer", sa.String(16), nullable=False),
)


def state_of(row: sa.Row[Any]) -> PathState:
    """A row as what it means."""
    return PathState(
        Path(row.egress, row.ip, row.port, encrypted=row.encrypted),
        row.mx_group,
        row.host,
        PathCondition(row.condition),
        row.since,
        Sign(row.last_sign),
        row.last_error,
        row.last_good_at,
        row.failures,
        row.avoid_until,
        row.good,
        row.seen_at,
        row.counted_at,
        row.used_at,
    )
