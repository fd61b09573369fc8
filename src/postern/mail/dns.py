"""DNS questions and answers as values: what was asked, and exactly what came of it.

A name that does not exist, a name without such records, a server failure and silence are four
different things (RFC 2308, RFC 8020); only the first two are facts about the name.
"""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How a look-up ended."""

    OK = "ok"
    NO_NAME = "no-name"  # NXDOMAIN
    NO_DATA = "no-data"  # the name exists, not this type
    SERVER_FAILURE = "server-failure"  # SERVFAIL, REFUSED, lame, DNSSEC bogus
    TIMEOUT = "timeout"

    @property
    def is_known(self) -> bool:
        """True when the answer is a fact; False is "couldn't tell"."""
        return self in {Status.OK, Status.NO_NAME, Status.NO_DATA}


@dataclass(frozen=True, slots=True)
class Question:
    """A name (lower-case A-labels, no final dot) and a record type such as ``MX``."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One MX: hosts with a lower preference are tried first (RFC 5321 §5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    ``records``: text of each record: addresses for A/AAAA, host names without the final dot for
    PTR/CNAME, joined strings for TXT, ``"10 mx.example"`` for MX (see ``mx``).
    ``ttl_s``: seconds the answer may be kept, negative answers by RFC 2308; 0 when couldn't tell.
    ``authentic``: the AD bit, worth something only from a trusted loopback resolver.
    ``resolver``: name of the resolver that answered. ``seconds``: time taken; 0.0 from cache.
    """

    question: Question
    status: Status
    records: tuple[str, ...] = ()
    ttl_s: int = 0
    authentic: bool = False
    resolver: str = ""
    seconds: float = 0.0

    def mx(self) -> tuple[MxRecord, ...]:
        """The records as MX values, lowest preference first; the null MX has host ``""``."""
        parsed = []
        for record in self.records:
            preference, _, host = record.partition(" ")
            parsed.append(MxRecord(int(preference), host.rstrip(".")))
        return tuple(sorted(parsed, key=lambda mx: mx.preference))
