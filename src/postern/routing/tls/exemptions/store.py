"""Exemptions in ``site.db``: made by people or learned, tested, renewed, ended, read by workers.

An exemption is two rows in one transaction: which address here, why and until when in ``measures``.
Every change of what holds is a line of the directory's change log, so that workers drop what they
cached; what a test found is not, for it changes nothing of where mail goes.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_address

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store.changes import Writing
from postern.directory.store.measured import Measured, Row, labelled
from postern.measures import store as measures
from postern.measures.temporary import MAX_REASON_CHARS, Kind, Temporary, reason_flaw
from postern.routing.tls.domains.store import guarded_at
from postern.routing.tls.exemptions.exemption import Exemption, Place, Tests
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

MAX_EXEMPTIONS = 1_000
"""Active ones: every worker reads all of them whenever anything changed."""
MAX_LEARNED = 800
"""Of these, those that Postern learned: a person always has room, however many hosts of a stranger
break off TLS."""
MAX_TEXT_CHARS = 300
MAX_NAMED = 3
"""Domains that a refusal names."""
LETTER = "X"

metadata = sa.MetaData()

exemption_table = sa.Table(
    "tls_exemption",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(26), nullable=False, unique=True),
    sa.Column("ip", sa.String(45), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("egress", sa.String(255), nullable=False),
    sa.Column("insists", sa.Boolean, nullable=False),
    sa.Column("is_learned", sa.Boolean, nullable=False),
    sa.Column("tested_at", sa.Double),
    sa.Column("good", sa.Integer, nullable=False),
    sa.Column("good_since", sa.Double),
    sa.Column("test_text", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

_measured = Measured(exemption_table, Kind.TLS)


@dataclass(frozen=True, slots=True)
class ExemptionDraft:
    """An exemption that somebody asks for; ``insists``: clear text is accepted whoever asks."""

    ip: str
    reason: str
    lasts_s: float
    insists: bool = False


class ExemptionStore:
    """Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def add(self, draft: ExemptionDraft) -> tuple[Exemption, tuple[Exemption, ...]] | Refused:
        """Let mail to an address go in clear; it holds for every attempt begun after this returned.

        Returns:
            The new one, and those for the same address that it took the place of. ``Refused`` where
            a domain served there asks for TLS and ``insists`` is not set.
        """
        ip = address_of(draft.ip)
        if ip is None:
            return Refused(Problem.MALFORMED, f"{draft.ip!r} is no address, such as 203.0.113.7")
        flaw = _flaw_of(draft)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        with self._database.write() as connection:
            now = self._clock.now()
            known = _active(connection, now)
            before = tuple(one for one in known if one.ip == ip)
            if len(known) >= MAX_EXEMPTIONS and not before:
                text = f"there are {MAX_EXEMPTIONS} already; end some: postern tls list"
                return Refused(Problem.NOT_ALLOWED, text)
            guarded = [] if draft.insists else guarded_at(connection, ip, now)
            if guarded:
                named = ", ".join(f"{one.domain} ({one.source})" for one in guarded[:MAX_NAMED])
                more = len(guarded) - MAX_NAMED
                text = (
                    f"{ip} serves {named}{f' and {more} more' if more > 0 else ''}, which must not"
                    " be sent to in clear; whoever accepts that says --i-accept-cleartext"
                )
                return Refused(Problem.NOT_ALLOWED, text)
            writing = Writing(connection, self._clock, self._author)
            for one in before:
                _end(writing, one, "another took its place")
            place = replace(before[0].place, ip=ip) if before else Place(ip)
            made = _add(writing, place, draft.reason.strip(), draft.lasts_s, insists=draft.insists)
            return made, before

    def learn(self, place: Place, reason: str, lasts_s: float) -> tuple[Exemption, bool] | Refused:
        """Make one for an address where mail got through in clear alone.

        Workers may learn it at the same moment; the first makes it, the others are given that one.

        Returns:
            The exemption, and whether this call made it.
        """
        with self._database.write() as connection:
            known = _active(connection, self._clock.now())
            for one in known:
                if one.ip == place.ip:
                    return one, False
            learned = sum(one.is_learned for one in known)
            if learned >= MAX_LEARNED or len(known) >= MAX_EXEMPTIONS:
                return Refused(Problem.NOT_ALLOWED, f"there are {len(known)} already")
            writing = Writing(connection, self._clock, self._author)
            text = _one_line(reason, MAX_REASON_CHARS)
            return _add(writing, place, text, lasts_s, is_learned=True), True

    def end(self, label: str) -> Exemption | Refused:
        """End one, such as ``X2``; it stays on record."""
        with self._database.write() as connection:
            found = labelled(_active(connection, self._clock.now()), label)
            if found is None:
                text = f"there is no {label} that could be ended; see: postern tls list"
                return Refused(Problem.NOT_THERE, text)
            return _end(Writing(connection, self._clock, self._author), found, "")

    def note_test(self, exemption: Exemption, tests: Tests) -> None:
        """Write down what a test found."""
        with self._database.write() as connection:
            connection.execute(
                exemption_table.update()
                .where(exemption_table.c.id == exemption.temporary.id)
                .values(
                    tested_at=tests.at,
                    good=tests.good,
                    good_since=tests.good_since,
                    test_text=_one_line(tests.text, MAX_TEXT_CHARS),
                )
            )

    def end_healed(self, exemption: Exemption, why: str) -> bool:
        """End one because TLS works again; False when somebody ended it before."""
        with self._database.write() as connection:
            found = labelled(_active(connection, self._clock.now()), exemption.label)
            if found is None:
                return False
            _end(Writing(connection, self._clock, self._author), found, why)
            return True

    def renew(self, exemption: Exemption, until: Instant) -> bool:
        """Let one go on for longer; False when it has ended."""
        with self._database.write() as connection:
            found = labelled(_active(connection, self._clock.now()), exemption.label)
            if found is None:
                return False
            connection.execute(
                measures.temporary.update()
                .where(measures.temporary.c.id == found.temporary.id)
                .values(until=until)
            )
            Writing(connection, self._clock, self._author).log(
                "tls-exemption", found.temporary.id, "renewed", label=found.label, until=until
            )
            return True

    def all(self) -> list[Exemption]:
        """Those that hold now, as they were made."""
        with self._database.read() as connection:
            return _active(connection, self._clock.now())


def address_of(text: str) -> str | None:
    """An IP address in the spelling that routes have it, or None."""
    try:
        return str(ip_address(text.strip().removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def _flaw_of(draft: ExemptionDraft) -> str:
    if not draft.reason.strip():
        return "an exemption needs a reason, for whoever finds it in a year"
    return reason_flaw(draft.reason)


def _one_line(text: str, most: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def _add(
    writing: Writing,
    place: Place,
    reason: str,
    lasts_s: float,
    *,
    insists: bool = False,
    is_learned: bool = False,
) -> Exemption:
    serial, made = _measured.add(
        writing,
        reason,
        lasts_s,
        ip=place.ip,
        host=place.host,
        port=place.port,
        egress=place.egress,
        insists=insists,
        is_learned=is_learned,
        good=0,
        test_text="",
    )
    label = f"{LETTER}{serial}"
    writing.log(
        "tls-exemption",
        made.id,
        "added",
        label=label,
        ip=place.ip,
        insists=insists,
        learned=is_learned,
        until=made.until,
        reason=reason,
    )
    return Exemption(label, place, made, insists, is_learned)


def _end(writing: Writing, exemption: Exemption, why: str) -> Exemption:
    ended = _measured.end(writing, exemption.temporary)
    writing.log("tls-exemption", ended.id, "ended", label=exemption.label, why=why)
    return replace(exemption, temporary=ended)


def _active(connection: sa.Connection, now: Instant) -> list[Exemption]:
    return [_read(*found) for found in _measured.holding(connection, now)]


def _read(row: Row, temporary: Temporary) -> Exemption:
    serial, _, ip, host, port, egress, insists, is_learned, *tests = row
    return Exemption(
        f"{LETTER}{serial}",
        Place(ip, host, port, egress),
        temporary,
        bool(insists),
        bool(is_learned),
        Tests(*tests),
    )
