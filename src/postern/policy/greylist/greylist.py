"""What reception asks: is this mail to come again, and when."""

from datetime import UTC, datetime

from postern.mail.address import Address
from postern.mail.dmarc.alignment import Identifier
from postern.mail.finding import Finding, Result, Whose
from postern.policy.greylist.keeper import GreylistKeeper
from postern.policy.greylist.key import key_for
from postern.policy.greylist.settings import GreylistSettings, Mode
from postern.policy.greylist.suspicion import ALWAYS, reason_of
from postern.policy.rules.match import Facts
from postern.runtime.clock import Clock
from postern.runtime.suffixes import public_suffixes

CHECK = "greylist.wait"
TRIAL = Finding(CHECK, Result.FAIL, "seen for the first time")
"""What is judged to learn whether a recipient wants anybody to wait at all."""


class Greylist:
    """Greylisting as one configuration wants it; the keeper outlives a reload."""

    def __init__(self, settings: GreylistSettings, keeper: GreylistKeeper, clock: Clock) -> None:
        self._settings = settings
        self._keeper = keeper
        self._clock = clock
        self._suffixes = public_suffixes()

    def reason(self, findings: tuple[Finding, ...], facts: Facts) -> str:
        """Why this mail may have to wait; empty: nothing makes it."""
        if self._settings.mode is Mode.ALWAYS:
            return ALWAYS
        return reason_of(findings, facts)

    async def ask(
        self,
        facts: Facts,
        identifiers: tuple[Identifier, ...],
        named: Address,
        reason: str,
    ) -> Finding:
        """``greylist.wait``: a fail while mail like this has to wait, else a pass; or unknown."""
        key = key_for(facts, identifiers, named, self._suffixes.privatesuffix)
        standing = await self._keeper.ask(key, self._settings)
        if standing is None:
            text = "whether mail like this was here before could not be told"
            return Finding("greylist.couldnt-tell", Result.COULDNT_TELL, text, Whose.US)
        if standing.is_trusted:
            text = "mail of servers like this has come again often enough"
            return Finding(CHECK, Result.PASS, text)
        ago = _ago(self._clock.now() - standing.first_at)
        if standing.until is None:
            return Finding(CHECK, Result.PASS, f"mail like this was here before, {ago}")
        text = _words(standing.until, ago, reason)
        return Finding(CHECK, Result.FAIL, text, Whose.RECIPIENT)


def _words(until: float, ago: str, reason: str) -> str:
    at = datetime.fromtimestamp(until, UTC)
    why = "" if reason == ALWAYS else f" ({reason})"
    return f"mail like this is new here{why}: seen first {ago}, taken from {at:%H:%M:%S} UTC on"


def _ago(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{seconds:.0f} s ago"
