"""What we ourselves ask of TLS for a domain, whatever it publishes; and what it was seen to ask."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from postern.mail.route import Target, TlsDemand, TlsPolicy
from postern.runtime.clock import Clock, Instant

SOURCE = "domain"
"""``TlsDemand.source`` where we ask."""

SETTABLE = (TlsPolicy.OPPORTUNISTIC, TlsPolicy.ENCRYPT, TlsPolicy.VERIFY)
"""OPPORTUNISTIC takes back what was asked."""

STRENGTH = {
    TlsPolicy.NEVER: 0,
    TlsPolicy.OPPORTUNISTIC: 1,
    TlsPolicy.ENCRYPT: 2,
    TlsPolicy.VERIFY: 3,
    TlsPolicy.DANE: 4,
}
"""Which policy asks for more."""

MAX_GUARDED = 20_000
"""Pairs of address and domain that a worker remembers."""
AGAIN_S = 86_400.0
"""How often a pair that goes on being seen is written down."""


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """Mail for ``domain`` (A-labels) must be encrypted, or go to a verified host as well."""

    domain: str
    policy: TlsPolicy
    reason: str
    author: str
    set_at: Instant


class DomainPolicies:
    """Those that were set, in a worker's memory.

    ``version`` moves whenever they were read anew.
    """

    def __init__(self) -> None:
        self.version = 0
        self._by_domain: dict[str, TlsPolicy] = {}

    def fill(self, policies: Iterable[DomainPolicy]) -> None:
        """Take these in place of all that were known."""
        self._by_domain = {one.domain: one.policy for one in policies}
        self.version += 1

    def of(self, domain: str) -> TlsPolicy | None:
        """What we ask for a domain; None: nothing of our own."""
        return self._by_domain.get(domain) if self._by_domain else None

    def on(self, targets: tuple[Target, ...], domain: str) -> tuple[Target, ...]:
        """The targets of a domain's mail, with what we ask where that is more."""
        policy = self.of(domain)
        if policy is None:
            return targets
        return tuple(replace(one, tls=stronger(one.tls, policy)) for one in targets)


def stronger(demand: TlsDemand, policy: TlsPolicy, source: str = SOURCE) -> TlsDemand:
    """The demand, or where it is weaker what ``source`` asks."""
    if STRENGTH[demand.policy] >= STRENGTH[policy]:
        return demand
    return replace(demand, policy=policy, source=source)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A domain that is served at this address and asks for TLS: ``dane`` or ``mta-sts``."""

    ip: str
    domain: str
    source: str
    seen_at: Instant


class GuardedAddresses:
    """Which addresses serve a domain that asks for TLS: for whoever is about to exempt one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._new: list[Guarded] = []

    def note(self, ip: str, domain: str, source: str) -> None:
        """Mail for ``domain`` is about to go to ``ip``, with what ``source`` asks for."""
        key = (ip, domain)
        written = self._seen.get(key)
        if written is not None and self._clock.monotonic() - written < AGAIN_S:
            return
        self._seen[key] = self._clock.monotonic()
        self._seen.move_to_end(key)
        if len(self._seen) > MAX_GUARDED:
            self._seen.popitem(last=False)
        if len(self._new) < MAX_GUARDED:
            self._new.append(Guarded(ip, domain, source, self._clock.now()))

    def take(self) -> list[Guarded]:
        """What is to be written down since the last call."""
        taken, self._new = self._new, []
        return taken
