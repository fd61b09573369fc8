"""Whether a mail host has TLSA records, and what they demand (RFC 7672).

They are asked for only where DNSSEC vouches for the domain's mail hosts and for the host's
addresses: below an insecure zone there are none that count, and asking servers that never heard of
TLSA costs mail (RFC 7672 §2.1.1, §2.2.2). An alias that DNSSEC vouches for is enough, even where it
leads below an insecure zone: then its own name alone can have records. Where DNS does not tell, the
host is not used: whoever can make us not see the records must not gain a session without them (RFC
7672 §2.2).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from postern.mail.dns import Answer, Question, Status
from postern.mail.route import ANY_TLS, TlsDemand, TlsPolicy
from postern.mail.tlsa import usable
from postern.mail.tlsrpt import DANE_SOURCE, TlsResult
from postern.routing.hosts import FIXED_TTL_S, UNSURE_TTL_S, Addresses, find_addresses
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
            return await self._as_home_has_it(domain, hosts, host, addresses)
        return await self._among(domain, hosts, host, addresses)

    async def _as_home_has_it(
        self, domain: str, hosts: Answer, host: str, addresses: Addresses
    ) -> Dane:
        """What home says now of a domain that had DANE, whatever another says of its hosts.

        Also where somebody wants the zone looked up elsewhere: that is a choice of where mail goes,
        and none of what it may go without.
        """
        home = _HomeAlone(self._lookup)
        named = await home.ask(hosts.question)
        is_named = any(record.host == host for record in named.mx())
        if not (is_named or (named.status is Status.NO_DATA and host == domain)):
            return UNTOLD
        found = await find_addresses(home, host, want_ipv6=bool(addresses.ipv6))
        if found.unsure or found.is_empty:
            return UNTOLD
        return await self._among(domain, named, host, found)

    async def _among(self, domain: str, hosts: Answer, host: str, addresses: Addresses) -> Dane:
        if not hosts.secure:
            return NO_DANE
        if addresses.secure:
            # Where it is an alias, the name it leads to is asked first (RFC 7672 §2.2.2).
            bases = (addresses.canonical, host) if addresses.canonical else (host,)
            return await self._first_of(domain, dict.fromkeys(bases), host)
        if not addresses.canonical:
            return NO_DANE
        # Asked for by itself, the alias is not followed to where it leads, and the answer is
        # secure if the alias is (RFC 7672 §2.1.3).
        alias = await self._lookup.ask(Question(host, "CNAME"))
        if not alias.status.is_known:
            return UNTOLD
        ttl_s = float(alias.ttl_s)
        if alias.status is not Status.OK or not alias.secure:
            return Dane(ttl_s=ttl_s)
        found = await self._first_of(domain, (host,), host)
        return replace(found, ttl_s=min(found.ttl_s, ttl_s))

    async def _first_of(self, domain: str, bases: Iterable[str], host: str) -> Dane:
        """What the first of these names that has records demands."""
        ttl_s = FIXED_TTL_S
        for base in bases:
            answer = await self._lookup.ask(Question(f"_{self._port}._tcp.{base}", "TLSA"))
            if not answer.status.is_known:
                return UNTOLD
            ttl_s = min(ttl_s, float(answer.ttl_s))
            if answer.status is Status.OK and answer.secure:
                self._memory.saw_dane(domain)
                names = tuple(dict.fromkeys((base, domain, host)))
                return Dane(_demand(answer.records, names), ttl_s=ttl_s)
        return Dane(ttl_s=ttl_s)


class _HomeAlone:
    """A ``Lookup`` that asks nobody but home."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.home = lookup.home

    def cached(self, question: Question, *, foreign_ok: bool = False) -> Answer | None:
        """What home said."""
        del foreign_ok
        return self._lookup.cached(question, foreign_ok=False)

    async def ask(self, question: Question, *, foreign_ok: bool = False) -> Answer:
        """What home says."""
        del foreign_ok
        return await self._lookup.ask(question, foreign_ok=False)

    async def confirm(self, answer: Answer) -> Answer:
        """Home's word stands."""
        return answer


def _demand(records: tuple[str, ...], names: tuple[str, ...]) -> TlsDemand:
    """TLS that is verified by the records; where none can be used, TLS all the same (§2.2)."""
    tlsa = usable(records)
    if not tlsa:
        fault = TlsResult.TLSA_INVALID.value
        return TlsDemand(TlsPolicy.ENCRYPT, names[:1], source=DANE_SOURCE, fault=fault)
    return TlsDemand(TlsPolicy.DANE, names, tlsa, DANE_SOURCE)
