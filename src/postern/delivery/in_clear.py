"""The last try without TLS, where TLS does not work: whether there is one, and which way it goes.

Opportunistic TLS is given up last (RFC 7435): where nobody demands it, no password goes along, no
way is left and TLS was all that failed, everywhere. Where something else failed too, or time ran
out before every way was asked, the next attempt may do better, so one is waited for: a line that is
dead for good beside a broken STARTTLS must not keep mail from ever going.
"""

from dataclasses import replace

from postern.delivery.tries import Tries
from postern.mail.route import IN_CLEAR, Way

WITHOUT_TLS = "TLS failed there, no other way was left, and nobody asks for it"
WAITS_S = 60.0
"""Another message for the same place, a moment later, is not the next attempt."""
FORGOTTEN_S = 86_400.0
MOST = 1000

Place = tuple[str, str, int]


class LastTries:
    """Remembers which places are waited for; forgets them after a day, or when there are many."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}

    def way(self, tries: Tries, now: float, *, is_all: bool) -> Way | None:
        """The way of the last try: the best of those where TLS failed, in clear.

        Args:
            tries: what has failed.
            now: the monotonic second.
            is_all: no way is left that may be tried.
        """
        failed = [failure for failure in tries.failures if not failure.way.is_fallback]
        way = next((failure.way for failure in failed if failure.may_go_in_clear), None)
        if way is None:
            return None
        is_tls_alone = all(failure.sign is not None and failure.sign.is_tls for failure in failed)
        if not (is_all and is_tls_alone) and not self._has_waited(way, now):
            return None
        tls = replace(IN_CLEAR, reason=WITHOUT_TLS)
        return replace(way, target=replace(way.target, tls=tls))

    def _has_waited(self, way: Way, now: float) -> bool:
        place = way.egress.name, way.target.ip, way.target.port
        since = self._since.pop(place, now)
        if now - since > FORGOTTEN_S:
            since = now
        while len(self._since) >= MOST:
            del self._since[next(iter(self._since))]
        self._since[place] = since
        return now - since >= WAITS_S
