"""Whether a resolver is at work, or out of order: what its silence is worth as evidence.

A name that cannot be looked up shows nothing of who looked: its own name servers may be dead, and a
quiet server asks for little else. So several different names must have failed, apart in time, with
nothing known in between; and even then something that everybody knows is asked before it is
believed.
"""

from postern.mail.dns import Question
from postern.runtime.clock import Clock

DEAD_S = 900.0
"""How long a resolver that knows nothing any more holds up what others say is not there."""
PROBE = Question("", "NS")
"""The name servers of the root: whoever resolves anything knows them."""
PROBE_S = 30.0
"""How often one that seems out of order is asked for them."""
NAMES = 4
"""So many different names must have failed."""
APART_S = DEAD_S / NAMES
"""Two that failed within so long count as one: one broken zone has many names."""


class Health:
    """What is known of one resolver."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._names: list[str] = []
        self._began = 0.0
        self._latest = 0.0
        self._probed_at: float | None = None
        self._has_failed_probe = False

    def knew(self) -> None:
        """It answered with a fact."""
        self._names.clear()
        self._probed_at, self._has_failed_probe = None, False

    def knew_nothing(self, question: Question) -> None:
        """It failed, or was silent."""
        now = self._clock.monotonic()
        if question == PROBE:
            self._has_failed_probe = self._seems_dead(now)
        elif not self._names:
            self._names, self._began, self._latest = [question.name], now, now
        elif self._is_more(question.name, now):
            self._names.append(question.name)
            self._latest = now

    def begin_probe(self) -> bool:
        """True when ``PROBE`` is to be asked now; whoever is told so asks it."""
        now = self._clock.monotonic()
        is_due = self._probed_at is None or now - self._probed_at >= PROBE_S
        if not is_due or not self._seems_dead(now):
            return False
        self._probed_at = now
        return True

    @property
    def is_dead(self) -> bool:
        """True when nothing was known of several names, nor, at last, of ``PROBE``."""
        return self._has_failed_probe

    def _is_more(self, name: str, now: float) -> bool:
        is_apart = now - self._latest >= APART_S
        return is_apart and len(self._names) < NAMES and name not in self._names

    def _seems_dead(self, now: float) -> bool:
        return len(self._names) == NAMES and now - self._began >= DEAD_S
