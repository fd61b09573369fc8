"""Whether a mail host has TLSA records, and what they demand (RFC 7672).

They are asked for only where DNSSEC vouches for the domain's mail hosts and for the host's
addresses: below an insecure zone there are none that count, and asking servers that never heard of
TLSA costs mail (RFC 7672 §2.1.1, §2.2.2). Where DNS then does not tell, the host is not used:
whoever can make us not see the records must not gain a session without them (RFC 7672 §2.2).
"""

from dataclasses import dataclass
from typing import Protocol

from postern.mail.dns import Answer, Question, Status
from postern.mail.route import ANY_TLS, TlsDemand, TlsPolicy
from postern.mail.tlsa import usable
from postern.mail.tlsrpt import DANE_SOURCE, TlsResult
from postern.routing.hosts import FIXED_TTL_S, UNSURE_TTL_S, Addresses
from postern.runtime.resolver.lookup import Lookup


@dataclass(frozen=True, slots=True)
class Dane:
    """What one host's records demand, good for ``ttl_s``. ``unsure``: DNS did not tell."""

    demand: TlsDemand = ANY_TLS
    unsure: bool = False
    ttl_s: float = FIXED_TTL_S


NO_DANE = Dane()
UNTOLD = Dane(unsure=True, ttl_s=UNSURE_TTL_S)


class DaneMemory(Protocol):
    """Which domains had DANE lately.

    Where our own resolver fails and another answers, nobody vouches for what it says. That keeps
    mail moving, and must not take DANE from a domain that has it.
    """

    def saw_dane(self, domain: str) -> None:
        """Its mail hosts have TLSA records."""
        ...

    def had_dane(self, domain: str) -> bool:
        """Whether they had, lately."""
        ...


class NoMemory:
    """Remembers nothing."""

    def saw_dane(self, domain: str) -> None:
        """Forget it."""

    def had_dane(self, domain: str) -> bool:
        """Not that we know."""
        del domain
        return False


class DaneSearch:
    """Asks for TLSA records.

    Args:
        lookup: what is asked; its answers say whether DNSSEC vouches for them.
        port: of the mail hosts.
        memory: which domains had DANE.
    """

    def __init__(self, lookup: Lookup, port: int, memory: DaneMemory) -> None:
        self._lookup = lookup
        self._port = port
        self._memory = memory

    async def of(self, domain: str, hosts: Answer, host: str, addresses: Addresses) -> Dane:
        """What records demand for mail to ``domain`` at ``host``.

        Args:
            domain: the recipient's.
            hosts: the answer that named its mail hosts, or said that there are none but itself.
            host: the one in question.
            addresses: its addresses.
        """
        is_foreign = addresses.is_foreign or hosts.resolver != self._lookup.home
        if is_foreign and self._memory.had_dane(domain):
            return UNTOLD
        if not (hosts.secure and addresses.secure):
            return NO_DANE
        # Where it is an alias, the name it leads to is asked first (RFC 7672 §2.2.2).
        bases = [name for name in (addresses.canonical, host) if name]
        ttl_s = FIXED_TTL_S
        for base in dict.fromkeys(bases):
            answer = await self._lookup.ask(Question(f"_{self._port}._tcp.{base}", "TLSA"))
            if not answer.status.is_known:
                return UNTOLD
            ttl_s = min(ttl_s, float(answer.ttl_s))
            if answer.status is Status.OK and answer.secure:
                self._memory.saw_dane(domain)
                names = tuple(dict.fromkeys((base, domain, host)))
                return Dane(_demand(answer.records, names), ttl_s=ttl_s)
        return Dane(ttl_s=ttl_s)


def _demand(records: tuple[str, ...], names: tuple[str, ...]) -> TlsDemand:
    """TLS that is verified by the records; where none can be used, TLS all the same (§2.2)."""
    tlsa = usable(records)
    if not tlsa:
        fault = TlsResult.TLSA_INVALID.value
        return TlsDemand(TlsPolicy.ENCRYPT, names[:1], source=DANE_SOURCE, fault=fault)
    return TlsDemand(TlsPolicy.DANE, names, tlsa, DANE_SOURCE)
