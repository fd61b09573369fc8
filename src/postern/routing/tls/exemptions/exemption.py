"""One exemption: which address, who made it and why, until when, and what its tests found."""

from dataclasses import dataclass

from postern.measures.temporary import Temporary
from postern.runtime.clock import Instant, rfc3339

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Place:
    """The address, and what it was known by when the exemption was made: for its tests.

    ``port`` 0: the usual one; ``egress`` empty: the usual one.
    """

    ip: str
    host: str = ""
    port: int = 0
    egress: str = ""


@dataclass(frozen=True, slots=True)
class Tests:
    """What trying TLS there again has shown.

    ``at``: the last test; None: none yet. ``good``: good ones in a row; ``good_since``: the first
    of these. ``text``: what the last one found, one line.
    """

    at: Instant | None = None
    good: int = 0
    good_since: Instant | None = None
    text: str = ""


UNTESTED = Tests()


@dataclass(frozen=True, slots=True)
class Exemption:
    """Mail to this address goes in clear. ``label`` is ``X3``.

    ``insists``: a named person accepted clear text although a domain there asks for TLS (DANE,
    MTA-STS, or our own rule for it). ``is_learned``: Postern made it when nothing else got through.
    """

    label: str
    place: Place
    temporary: Temporary
    insists: bool = False
    is_learned: bool = False
    tests: Tests = UNTESTED

    @property
    def ip(self) -> str:
        """The address."""
        return self.place.ip

    @property
    def in_words(self) -> str:
        """``exemption X3 until 2026-12-04, because STARTTLS stalls there``."""
        until = self.temporary.until
        end = "without an end" if until is None else f"until {rfc3339(until)[:10]}"
        return f"exemption {self.label} {end}, because: {self.temporary.reason}"

    def holds(self, now: Instant) -> bool:
        """True while mail goes in clear there."""
        until = self.temporary.until
        return self.temporary.ended_at is None and (until is None or now < until)
