"""What workers read and write."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from postern.mail.paths import Path
from postern.routing.paths.census import Met
from postern.routing.paths.health import FORGET_S, PathCondition, PathState
from postern.routing.paths.store.schema import (
    FILE_NAME,
    SCHEMA,
    domain_table,
    metadata,
    path_table,
    probe_table,
    state_of,
    target_table,
    turn_table,
)
from postern.runtime.clock import Instant
from postern.runtime.database.spare import SpareFile

MAX_PATHS = 50_000
MAX_DOMAINS = 200_000
"""Some 20 MB; those met longest ago go first."""
MAX_TARGETS = 100_000
HEALED_KEPT_S = 3600.0
"""How long it stays on file that a path has healed: every worker has read it long before."""
MET_KEPT_S = 60 * 86_400.0
SWEEP_ROWS = 5000
"""Rows that one transaction deletes at most: other workers wait for it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction writes."""

    states: Sequence[PathState] = ()
    met: Sequence[Met] = ()

    def __bool__(self) -> bool:
        return bool(self.states or self.met)


@dataclass(slots=True)
class Claim:
    """Who wants to probe, now; ``granted``: which paths are its own until ``until``.

    ``until``: of each path, when others may probe it, whoever asks first then.
    """

    until: Mapping[Path, Instant]
    now: Instant
    granted: frozenset[Path] = field(default_factory=frozenset)


class PathStore:
    """The file; for one thread, or one command.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, file: SpareFile, writer: str) -> None:
        self._file = file
        self._database = file.database
        self._writer = writer
        self.path = file.path
        self._seq = 0

    @classmethod
    def open(cls, data_dir: File, writer: str = "") -> "PathStore":
        """Open it, made anew where it is not there, of another version, or not readable.

        Args:
            data_dir: its folder.
            writer: who writes, to know one's own rows by; different for each opening process.
        """
        return cls(SpareFile.open(data_dir / FILE_NAME, metadata, SCHEMA), writer)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def is_in_place(self) -> bool:
        """Whether the file is still the one that others open."""
        return self._file.is_in_place()

    def leave(self, error: Exception) -> None:
        """Close it after trouble; a file that ``error`` calls damaged is set aside."""
        self._file.leave(error)

    # --- workers ----------------------------------------------------------------------------------

    def write(self, what: Written) -> None:
        """Write it all down in one transaction."""
        with self._database.write() as connection:
            if what.states:
                seq = connection.execute(_NEXT_TURN).scalar_one()
                rows = [self._row(state, seq) for state in what.states]
                connection.execute(_PUT_PATH, rows)
            domains = [
                {"domain": met.domain, "mx_group": met.group, "met_at": met.at}
                for met in what.met
                if met.domain
            ]
            if domains:
                connection.execute(_PUT_DOMAIN, domains)
            targets = [row for met in what.met for row in _target_rows(met)]
            if targets:
                connection.execute(_PUT_TARGET, targets)

    def news(self) -> list[PathState]:
        """What others wrote since the last call; the first time everything on file."""
        query = sa.select(path_table).where(path_table.c.seq > self._seq).order_by(path_table.c.seq)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        if rows:
            self._seq = rows[-1].seq
        return [state_of(row) for row in rows if row.writer != self._writer]

    def claim(self, claims: Iterable[Claim]) -> None:
        """Grant each what nobody else has claimed, in one transaction.

        Whose claim it is may test again at any time: what it found may ask for that.
        """
        with self._database.write() as connection:
            for claim in claims:
                claim.granted = frozenset(
                    path
                    for path, until in claim.until.items()
                    if connection.execute(
                        _CLAIM,
                        {
                            **_key(path),
                            "not_before": until,
                            "writer": self._writer,
                            "now": claim.now,
                            "me": self._writer,
                        },
                    ).rowcount
                )

    def sweep(self, now: Instant) -> int:
        """Forget what is over, and the oldest where there is too much.

        Returns:
            How many rows went; with ``SWEEP_ROWS`` of them there may be more.
        """
        path, gone = path_table.c, 0
        healed = path.condition == PathCondition.HEALTHY.value
        over = sa.or_(
            sa.and_(healed, path.seen_at < now - HEALED_KEPT_S, path.avoid_until < now),
            path.used_at < now - FORGET_S - HEALED_KEPT_S,
        )
        with self._database.write() as connection:
            connection.execute(probe_table.delete().where(probe_table.c.not_before < now - 86_400))
            gone += connection.execute(path_table.delete().where(over)).rowcount
            gone += _keep_newest(connection, path_table, path.seen_at, MAX_PATHS, 0.0)
            before = now - MET_KEPT_S
            domain, target = domain_table.c.met_at, target_table.c.met_at
            gone += _keep_newest(connection, domain_table, domain, MAX_DOMAINS, before)
            gone += _keep_newest(connection, target_table, target, MAX_TARGETS, before)
        return gone

    def _row(self, state: PathState, seq: int) -> dict[str, str | float | bool | None]:
        return {
            **_key(state.path),
            "mx_group": state.group,
            "host": state.host,
            "condition": state.condition.value,
            "since": state.since,
            "last_sign": state.last_sign.value,
            "last_error": state.last_error,
            "last_good_at": state.last_good_at,
            "failures": state.failures,
            "good": state.good,
            "avoid_until": state.avoid_until,
            "seen_at": state.seen_at,
            "counted_at": state.counted_at,
            "used_at": state.used_at,
            "seq": seq,
            "writer": self._writer,
        }


_FIRST_TURN = insert(turn_table).values(id=1, seq=1)
_NEXT_TURN = _FIRST_TURN.on_conflict_do_update(
    index_elements=["id"], set_={"seq": turn_table.c.seq + 1}
).returning(turn_table.c.seq)
_PUT_PATH = insert(path_table)
_PUT_PATH = _PUT_PATH.on_conflict_do_update(
    index_elements=list(path_table.primary_key),
    set_={
        column.name: _PUT_PATH.excluded[column.name]
        for column in path_table.c
        if not column.primary_key
    },
)
_PUT_DOMAIN = insert(domain_table)
_PUT_DOMAIN = _PUT_DOMAIN.on_conflict_do_update(
    index_elements=["domain"],
    set_={"mx_group": _PUT_DOMAIN.excluded.mx_group, "met_at": _PUT_DOMAIN.excluded.met_at},
)
_PUT_TARGET = insert(target_table)
_PUT_TARGET = _PUT_TARGET.on_conflict_do_update(
    index_elements=list(target_table.primary_key),
    set_={name: _PUT_TARGET.excluded[name] for name in ("host", "place", "met_at")},
)
_CLAIM_NEW = insert(probe_table)
_CLAIM = _CLAIM_NEW.on_conflict_do_update(
    index_elements=list(probe_table.primary_key),
    set_={
        "not_before": _CLAIM_NEW.excluded.not_before,
        "writer": _CLAIM_NEW.excluded.writer,
    },
    where=sa.or_(
        probe_table.c.not_before <= sa.bindparam("now"),
        probe_table.c.writer == sa.bindparam("me"),
    ),
)


def _key(path: Path) -> dict[str, str | float | bool | None]:
    return {
        "egress": path.egress,
        "ip": path.ip,
        "port": path.port,
        "encrypted": path.encrypted,
    }


def _target_rows(met: Met) -> list[dict[str, str | float]]:
    return [
        {
            "mx_group": met.group,
            "egress": met.egress,
            "ip": target.ip,
            "port": target.port,
            "host": target.host,
            "place": place,
            "met_at": met.at,
        }
        for place, target in enumerate(met.targets, 1)
    ]


def _keep_newest(
    connection: sa.Connection,
    table: sa.Table,
    age: sa.ColumnElement[float],
    most: int,
    before: Instant,
) -> int:
    """Delete rows from before then, and the oldest above ``most``; at most ``SWEEP_ROWS``."""
    rowid = sa.literal_column("rowid", sa.Integer)
    every = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
    old = sa.select(rowid).select_from(table).where(age < before).limit(SWEEP_ROWS)
    gone = connection.execute(table.delete().where(rowid.in_(old))).rowcount
    too_many = min(every - gone - most, SWEEP_ROWS - gone)
    if too_many > 0:
        oldest = sa.select(rowid).select_from(table).order_by(age).limit(too_many)
        gone += connection.execute(table.delete().where(rowid.in_(oldest))).rowcount
    return gone
