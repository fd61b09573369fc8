"""The exemptions that hold now, in a worker's memory; asked for every way of every attempt."""

from collections.abc import Iterable

from postern.mail.route import TlsDemand, TlsPolicy
from postern.routing.tls.exemptions.exemption import Exemption
from postern.runtime.clock import Clock, Instant


class ExemptionBook:
    """For one worker, on its event loop; it outlives reloads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_ip: dict[str, Exemption] = {}
        self._demands: dict[str, TlsDemand] = {}
        self._uses: dict[str, tuple[int, Instant]] = {}

    def fill(self, exemptions: Iterable[Exemption]) -> None:
        """Take these in place of all that were known."""
        self._by_ip = {one.ip: one for one in exemptions}
        self._demands = {one.label: _in_clear(one) for one in self._by_ip.values()}

    def of(self, ip: str) -> Exemption | None:
        """The one that holds for this address; None nearly always, and at no cost."""
        if not self._by_ip:
            return None
        found = self._by_ip.get(ip)
        return found if found is not None and found.holds(self._clock.now()) else None

    def demand(self, exemption: Exemption) -> TlsDemand:
        """No TLS, and why in words."""
        return self._demands.get(exemption.label) or _in_clear(exemption)

    def was_used(self, exemption: Exemption) -> None:
        """A session went in clear because of it."""
        hits, _ = self._uses.get(exemption.temporary.id, (0, 0.0))
        self._uses[exemption.temporary.id] = (hits + 1, self._clock.now())

    def take_uses(self) -> dict[str, tuple[int, Instant]]:
        """How often each was of use since the last call, and when last, by the temporary's id."""
        taken, self._uses = self._uses, {}
        return taken


def _in_clear(exemption: Exemption) -> TlsDemand:
    return TlsDemand(TlsPolicy.NEVER, source=exemption.label, reason=exemption.in_words)
