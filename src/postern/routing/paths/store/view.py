"""What is on file, for those who look on: commands, the console. No server need run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path as File

import sqlalchemy as sa

from postern.mail.paths import Path
from postern.routing.paths.health import PathState
from postern.routing.paths.store.schema import (
    FILE_NAME,
    SCHEMA,
    domain_table,
    metadata,
    path_table,
    probe_table,
    state_of,
    target_table,
)
from postern.runtime.clock import Instant
from postern.runtime.database.spare import SpareFile

MOST_BY_NAME = 500
"""Names or addresses that are looked up one by one; of more, all are read."""
MOVED_S = 2 * 86_400.0
"""Addresses are written down each day while they are met: those older than this are not."""


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An address of a group. ``place``: when it is tried, 1 is first."""

    group: str
    egress: str
    host: str
    ip: str
    port: int
    place: int


class PathView:
    """The file, for the length of one command.

    Raises:
        DatabaseTroubleError: the database could not answer.
    """

    def __init__(self, file: SpareFile) -> None:
        self._file = file
        self._database = file.database

    @classmethod
    def open(cls, data_dir: File) -> "PathView":
        """Open it, made anew where it is not there, of another version, or not readable."""
        return cls(SpareFile.open(data_dir / FILE_NAME, metadata, SCHEMA))

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def states(self) -> list[PathState]:
        """Of every path on file."""
        with self._database.read() as connection:
            return [state_of(row) for row in connection.execute(sa.select(path_table))]

    def groups_at(self, ips: Collection[str]) -> set[str]:
        """The groups that have one of these addresses."""
        query = sa.select(target_table.c.mx_group, target_table.c.ip).distinct()
        if len(ips) <= MOST_BY_NAME:
            query = query.where(target_table.c.ip.in_(ips))
        with self._database.read() as connection:
            return {row.mx_group for row in connection.execute(query) if row.ip in ips}

    def addresses(self, groups: Sequence[str] | None = None) -> list[KnownAddress]:
        """The addresses of these groups, or of all, in the order they are tried.

        Those that no domain of the group has had for a while, as long as others had theirs, are
        left out: a provider has moved.
        """
        columns = target_table.c
        newest = (
            sa.select(columns.mx_group, sa.func.max(columns.met_at).label("met_at"))
            .group_by(columns.mx_group)
            .subquery()
        )
        query = (
            sa.select(target_table)
            .join(newest, columns.mx_group == newest.c.mx_group)
            .where(columns.met_at >= newest.c.met_at - MOVED_S)
            .order_by(columns.mx_group, columns.place, columns.ip)
        )
        if groups is not None and len(groups) <= MOST_BY_NAME:
            query = query.where(columns.mx_group.in_(groups))
        with self._database.read() as connection:
            return [
                KnownAddress(row.mx_group, row.egress, row.host, row.ip, row.port, row.place)
                for row in connection.execute(query)
            ]

    def domain_counts(self, groups: Sequence[str] | None = None) -> dict[str, int]:
        """How many domains each of these groups has, or each of all."""
        columns = domain_table.c
        count = sa.func.count().label("domains")
        query = sa.select(columns.mx_group, count).group_by(columns.mx_group)
        if groups is not None and len(groups) <= MOST_BY_NAME:
            query = query.where(columns.mx_group.in_(groups))
        with self._database.read() as connection:
            return {row.mx_group: row.domains for row in connection.execute(query)}

    def domains(self, group: str, most: int) -> list[str]:
        """The first ``most`` domains of a group, in their alphabet's order."""
        columns = domain_table.c
        query = sa.select(columns.domain).where(columns.mx_group == group)
        with self._database.read() as connection:
            found = connection.scalars(query.order_by(columns.domain).limit(most))
            return list(found)

    def group_of(self, domain: str) -> str | None:
        """The group that a domain was last met in."""
        columns = domain_table.c
        query = sa.select(columns.mx_group).where(columns.domain == domain)
        with self._database.read() as connection:
            return connection.scalar(query)

    def next_tests(self) -> dict[Path, Instant]:
        """When each path that is tested may be tested next."""
        with self._database.read() as connection:
            return {
                Path(row.egress, row.ip, row.port, row.encrypted): row.not_before
                for row in connection.execute(sa.select(probe_table))
            }
