"""What is measured: sizes, sessions, and whether the way ends in the spool or at the sink."""

from dataclasses import dataclass
from enum import Enum


class Way(Enum):
    """How far a message goes before it counts."""

    ACCEPT = "accept"
    """Until "250" is answered, durable where the server is durable. Nothing is sent on."""
    RELAY = "relay"
    """Until the receiving sink has it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table.

    ``goal``: Postern's rate as a multiple of Postfix's; ``checked``: it is signed, comes from
    outside, and is looked at.
    """

    way: Way
    size_bytes: int
    sessions: int
    reuse: bool
    goal: float
    checked: bool = False

    @property
    def name(self) -> str:
        """``accept 4 kB, one message a session``."""
        size = f"{self.size_bytes // 1000} kB" if self.size_bytes < 1_000_000 else "1 MB"
        sessions = "reused sessions" if self.reuse else "one message a session"
        checked = " signed and checked" if self.checked else ""
        return f"{self.way.value} {size}{checked}, {sessions}"

    @property
    def key(self) -> str:
        """What ``--only`` matches: ``accept-4kB-reused``."""
        size = f"{self.size_bytes // 1000}kB"
        checked = "-checked" if self.checked else ""
        return f"{self.way.value}-{size}{checked}-{'reused' if self.reuse else 'single'}"


SESSIONS = 20

SCENARIOS = (
    Scenario(Way.ACCEPT, 4_000, SESSIONS, reuse=False, goal=4),
    Scenario(Way.ACCEPT, 4_000, SESSIONS, reuse=True, goal=4),
    Scenario(Way.RELAY, 4_000, SESSIONS, reuse=False, goal=4),
    Scenario(Way.RELAY, 4_000, SESSIONS, reuse=True, goal=4),
    Scenario(Way.ACCEPT, 60_000, SESSIONS, reuse=False, goal=1),
    Scenario(Way.RELAY, 60_000, SESSIONS, reuse=False, goal=1),
    Scenario(Way.ACCEPT, 1_000_000, SESSIONS, reuse=False, goal=1),
    Scenario(Way.RELAY, 1_000_000, SESSIONS, reuse=False, goal=1),
)
