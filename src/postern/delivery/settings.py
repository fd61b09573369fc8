"""How patient delivery is, and what it keeps."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """Limits of delivery; every wait has an end.

    A connection has ``connect_timeout_s`` to open, ``tls_timeout_s`` for STARTTLS and its
    handshake, and ``session_budget_s`` in all from its opening (or, reused, from MAIL) to DATA's
    354: a budget, not a limit per reply, so a peer that answers a little at a time gains nothing.
    Then the message has as long as it takes at ``body_rate_bytes_s``, between ``body_min_s`` and
    ``body_max_s``, and its last reply ``final_dot_timeout_s`` (RFC 5321 §4.5.3.2.6).

    The next way is begun beside one that has not greeted for ``hedge_s``, or has greeted and is
    not ready for mail after twice as long (handshakes cost servers more than greetings); a relay
    that is only a fallback ``relay_after_s`` after the beginning. At most ``most_openings`` are
    begun at a time, and no further one once an attempt has used ``attempt_budget_s`` or begun
    ``max_targets``. An attempt older than ``slow_after_s`` is a slow one.

    A connection is used again until it is ``reuse_max_age_s`` old or has rested ``reuse_idle_s``
    (0: never); at most ``idle_connections`` rest at a time. Reuse is limited by time and not by
    count, so that slow hosts do not attract connections.

    ``helo`` is our name where the egress has none. ``ca_file`` replaces the system's authorities
    where a certificate must be verified.
    ``clear_auth_on_loopback`` lets a password go to 127.0.0.0/8 or ::1 without TLS. ``tick_s`` is
    how often time limits are looked at. ``verify_timeout_s`` bounds a question about a recipient:
    a client waits for the answer.
    """

    helo: str
    connect_timeout_s: float = 20.0
    tls_timeout_s: float = 30.0
    session_budget_s: float = 300.0
    attempt_budget_s: float = 600.0
    max_targets: int = 10
    hedge_s: float = 3.0
    relay_after_s: float = 6.0
    most_openings: int = 4
    slow_after_s: float = 15.0
    body_rate_bytes_s: float = 1000.0
    body_min_s: float = 60.0
    body_max_s: float = 3600.0
    final_dot_timeout_s: float = 600.0
    reuse_max_age_s: float = 300.0
    reuse_idle_s: float = 5.0
    idle_connections: int = 100
    quit_timeout_s: float = 5.0
    tick_s: float = 0.5
    verify_timeout_s: float = 20.0
    chunk_limit_bytes: int = 65536
    clear_auth_on_loopback: bool = False
    ca_file: Path | None = None

    def body_timeout_s(self, size_bytes: int) -> float:
        """How long a message of this size may take to be sent."""
        return min(max(size_bytes / self.body_rate_bytes_s, self.body_min_s), self.body_max_s)
