"""What TLS one way must have for one message: what all who may ask for it ask together.

Asked by the recipient's domain (DANE, MTA-STS) and by the site (a rule of ours for the domain),
both in the way's target already; by the sender (the message's wish); weakened by an exemption.
The strongest wins. An exemption yields to all of them, unless a named person insisted: then to the
sender alone. Nothing here waits; where nobody asks for anything it is a few look-ups.
"""

from dataclasses import replace
from typing import Protocol

from postern.mail.envelope import TlsWish
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.reply import reply
from postern.mail.route import RELAY_GROUP, TlsDemand, TlsPolicy, Way
from postern.mail.tlsrpt import DANE_SOURCE, STS_SOURCE, STS_TESTING_SOURCE
from postern.routing.tls.domains.policy import (
    STRENGTH,
    DomainPolicies,
    GuardedAddresses,
    stronger,
)
from postern.routing.tls.exemptions.book import ExemptionBook

MESSAGE = "message"
"""``TlsDemand.source`` where the sender asks."""

_PUBLISHED = frozenset({DANE_SOURCE, STS_SOURCE})
_RELAXED = TlsDemand(source=MESSAGE)
_PROVING = frozenset({STS_SOURCE, STS_TESTING_SOURCE})
"""The names of hosts are the domain's own word, whatever the DNS was made to say."""


class Facts(Protocol):
    """What of a message matters here; ``chooser.MessageFacts`` is one."""

    @property
    def sender_domain(self) -> str:
        """Of the envelope; empty: the null sender."""
        ...

    @property
    def tls_wish(self) -> TlsWish:
        """What its sender asked of TLS."""
        ...


class Demands:
    """For one worker and one configuration, on its event loop.

    Args:
        exemptions: addresses where TLS does not work.
        domains: what we ask for domains ourselves.
        guarded: told which addresses serve a domain that asks for TLS.
        enforcing: names of relays that keep what domains and senders ask of TLS.
    """

    def __init__(
        self,
        exemptions: ExemptionBook,
        domains: DomainPolicies,
        guarded: GuardedAddresses,
        enforcing: frozenset[str] = frozenset(),
    ) -> None:
        self._exemptions = exemptions
        self._domains = domains
        self._guarded = guarded
        self._enforcing = enforcing

    def fit(self, way: Way, facts: Facts, domain: str = "") -> Way | None:
        """The way with the TLS it must have; None: it can't carry this message.

        Args:
            way: as the route has it; its target's demand is what is asked for the recipient's
                domain, or the configuration of a relay.
            facts: of the message.
            domain: the recipient's; empty where a person wrote down the host.
        """
        target, wish = way.target, facts.tls_wish
        demand = target.tls
        if demand.source in _PUBLISHED:
            self._guarded.note(target.ip, domain, demand.source)
        asked: TlsDemand | None = demand
        if wish is not TlsWish.NONE:
            asked = self._with_wish(way, demand, facts, domain)
        if asked is None:
            return None
        # What a sender asks is tried there all the same: nobody who takes TLS out once, for other
        # mail, has his mail wait for days or returned.
        if not way.is_relay and wish not in {TlsWish.ENCRYPT, TlsWish.REQUIRETLS}:
            exemption = self._exemptions.of(target.ip)
            is_weak = STRENGTH[asked.policy] < STRENGTH[TlsPolicy.ENCRYPT]
            if exemption is not None and (exemption.insists or is_weak):
                asked = self._exemptions.demand(exemption)
        return way if asked is demand else replace(way, target=replace(target, tls=asked))

    def _with_wish(
        self, way: Way, demand: TlsDemand, facts: Facts, domain: str
    ) -> TlsDemand | None:
        """With what the sender asks."""
        if facts.tls_wish is TlsWish.OPTIONAL:
            # It speaks of what the recipient's domain published, and of nothing of ours
            # (RFC 8689 §3, §4.2.2).
            if demand.source not in _PUBLISHED:
                return demand
            ours = self._domains.of(domain)
            return _RELAXED if ours is None else stronger(_RELAXED, ours)
        if facts.tls_wish is TlsWish.REQUIRETLS and facts.sender_domain:
            return self._with_requiretls(way, demand, domain)
        # A notice about a message with REQUIRETLS goes on without a promise rather than being
        # lost, but not in clear (RFC 8689 §5).
        if way.is_relay:
            return self._through_relay(way, demand)
        return stronger(demand, TlsPolicy.ENCRYPT, MESSAGE)

    def _with_requiretls(self, way: Way, demand: TlsDemand, domain: str) -> TlsDemand | None:
        """A host that is known for certain to be the domain's, verified (RFC 8689 §4.2.1)."""
        if demand.policy is TlsPolicy.DANE:
            return demand
        if way.is_relay:
            return demand if demand.policy is TlsPolicy.VERIFY else None
        host = way.target.host
        is_named = demand.source in _PROVING and not demand.fault
        is_proven = is_named or not domain or host.rstrip(".") == domain
        if not is_proven or not host:
            return None
        return stronger(demand, TlsPolicy.VERIFY, MESSAGE)

    def _through_relay(self, way: Way, demand: TlsDemand) -> TlsDemand | None:
        """To a relay that does on its side what is asked of us, and is known to be that one."""
        if way.egress.name not in self._enforcing or demand.policy is TlsPolicy.NEVER:
            return None
        return stronger(demand, TlsPolicy.VERIFY, MESSAGE)


def nothing_fits(facts: Facts, group: str) -> Deferred | Refused:
    """What becomes of a message that no way of a group can carry.

    It waits for TLS to work, and comes back at its expiry; what requires TLS on all its way comes
    back at once (RFC 8689 §4.2.1).
    """
    if facts.tls_wish is TlsWish.REQUIRETLS and facts.sender_domain:
        text = f"The message requires TLS (REQUIRETLS), and no host of {group} can be verified"
        return Refused(reply(550, "5.7.30", text), Cause.UNENCRYPTED)
    if group.startswith(RELAY_GROUP):
        name = group.removeprefix(RELAY_GROUP)
        text = f"The message must be encrypted, and the relay {name} is not known to keep to that"
        return Deferred(reply(451, "4.7.10", text), Cause.UNENCRYPTED, whose=Whose.US)
    text = f"The message must be encrypted, and no server of {group} offers TLS that works"
    return Deferred(reply(451, "4.7.10", text), Cause.UNENCRYPTED, whose=Whose.RECIPIENT)
