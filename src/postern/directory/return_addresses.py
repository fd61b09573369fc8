"""Return addresses of mail that we forward: made today, and read when a bounce comes back."""

from postern.mail.address import Address
from postern.mail.srs import Srs, SrsFlaw
from postern.runtime.clock import Clock

DAY_S = 86_400


class ReturnAddresses:
    """``mail.srs`` with the site's key and the calendar."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._srs = Srs(key)
        self._clock = clock

    def rewrite(self, sender: Address, domain: str) -> Address:
        """The return address for mail of ``sender`` that ``domain`` forwards."""
        return self._srs.rewrite(sender, domain, self._today())

    def read(self, local: str) -> Address | SrsFlaw:
        """Whom a return address of ours leads to."""
        return self._srs.read(local, self._today())

    def _today(self) -> int:
        return int(self._clock.now()) // DAY_S
