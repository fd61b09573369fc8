"""What is asked of TLS for domains, and guarded addresses, in ``site.db``."""

from collections.abc import Iterable

import sqlalchemy as sa

from postern.directory.model import Problem, Refused
from postern.directory.store.changes import Writing
from postern.mail.address import to_a_labels
from postern.mail.route import TlsPolicy
from postern.measures.temporary import reason_flaw
from postern.routing.tls.domains.policy import SETTABLE, DomainPolicy, Guarded
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.engine import Database

MAX_POLICIES = 10_000
"""Every worker reads all of them whenever anything changed."""
KEEP_GUARDED_S = 30 * 86_400.0
"""So long a domain is taken to be served at an address after mail for it last went there."""

metadata = sa.MetaData()

policy_table = sa.Table(
    "tls_domain",
    metadata,
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("policy", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("set_at", sa.Double, nullable=False),
)

guarded_table = sa.Table(
    "tls_guarded",
    metadata,
    sa.Column("ip", sa.String(45), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
)


class TlsDomainStore:
    """Every method is one transaction.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database, clock: Clock, author: str) -> None:
        self._database = database
        self._clock = clock
        self._author = author

    def require(self, domain: str, policy: TlsPolicy, reason: str) -> DomainPolicy | Refused:
        """Ask for TLS for a domain's mail; OPPORTUNISTIC takes it back.

        It holds for every attempt begun after this returned.
        """
        name = to_a_labels(domain.strip().removeprefix("@").removesuffix("."))
        if name is None:
            text = f"{domain!r} is no domain, such as tea-trading.example"
            return Refused(Problem.MALFORMED, text)
        if policy not in SETTABLE:
            words = ", ".join(one.value for one in SETTABLE)
            return Refused(Problem.NOT_ALLOWED, f"one of {words} can be asked for")
        flaw = reason_flaw(reason)
        if flaw:
            return Refused(Problem.NOT_ALLOWED, flaw)
        with self._database.write() as connection:
            writing = Writing(connection, self._clock, self._author)
            connection.execute(policy_table.delete().where(policy_table.c.domain == name))
            if policy is not TlsPolicy.OPPORTUNISTIC and _count(connection) >= MAX_POLICIES:
                connection.rollback()
                return Refused(Problem.NOT_ALLOWED, f"there are {MAX_POLICIES} already")
            made = DomainPolicy(name, policy, reason.strip(), writing.author, self._clock.now())
            if policy is not TlsPolicy.OPPORTUNISTIC:
                connection.execute(
                    policy_table.insert().values(
                        domain=name,
                        policy=policy.value,
                        reason=made.reason,
                        author=made.author,
                        set_at=made.set_at,
                    )
                )
            writing.log("tls-domain", name, "required", policy=policy.value, reason=made.reason)
        return made

    def all(self) -> list[DomainPolicy]:
        """Those that stand, by name."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(policy_table).order_by(policy_table.c.domain)).all()
        return [DomainPolicy(row[0], TlsPolicy(row[1]), row[2], row[3], row[4]) for row in rows]

    def note(self, guarded: Iterable[Guarded]) -> None:
        """Write down which domains are served where; what is too old goes."""
        with self._database.write() as connection:
            for one in guarded:
                key = sa.and_(guarded_table.c.ip == one.ip, guarded_table.c.domain == one.domain)
                connection.execute(guarded_table.delete().where(key))
                connection.execute(
                    guarded_table.insert().values(
                        ip=one.ip, domain=one.domain, source=one.source, seen_at=one.seen_at
                    )
                )
            before = self._clock.now() - KEEP_GUARDED_S
            connection.execute(guarded_table.delete().where(guarded_table.c.seen_at < before))


def guarded_at(connection: sa.Connection, ip: str, now: Instant) -> list[Guarded]:
    """The domains known to be served at an address that ask for TLS, the latest seen first."""
    rows = connection.execute(
        sa.select(guarded_table)
        .where(guarded_table.c.ip == ip, guarded_table.c.seen_at >= now - KEEP_GUARDED_S)
        .order_by(guarded_table.c.seen_at.desc(), guarded_table.c.domain)
    )
    return [Guarded(*row) for row in rows]


def _count(connection: sa.Connection) -> int:
    return int(
        connection.execute(sa.select(sa.func.count()).select_from(policy_table)).scalar_one()
    )
