"""From a domain to its mail hosts (RFC 5321 §5.1, RFC 7505)."""

import asyncio
import random

from postern.mail.dns import Answer, MxRecord, Question, Status
from postern.mail.tlsrpt import PolicyType, TlsResult, Untried
from postern.routing import dead_ends
from postern.routing.group import group_of_hosts, own_name
from postern.routing.hosts import UNSURE_TTL_S, Addresses, find_addresses
from postern.routing.loops import Ourselves
from postern.routing.plan import DeadEnd, Found, Host, Plan
from postern.routing.providers import Providers
from postern.routing.tls.dane import NO_DANE, Dane, DaneSearch
from postern.runtime.resolver.lookup import Lookup
from postern.runtime.suffixes import public_suffixes

MAX_HOSTS = 10
"""MX hosts whose addresses are looked up, best first."""


class MxSearch:
    """Finds the mail hosts of domains.

    Args:
        lookup: what is asked.
        ourselves: whom mail must not be sent to.
        hostname: our name, for the sentence about a loop.
        port: where mail hosts listen.
        want_ipv6: whether IPv6 addresses are looked up.
        chance: picks among equals where a zone lists more hosts than are looked up.
        providers: whose mail hosts name their group.
        dane: finds what hosts' TLSA records demand.
    """

    def __init__(
        self,
        lookup: Lookup,
        ourselves: Ourselves,
        *,
        hostname: str,
        port: int,
        want_ipv6: bool,
        chance: random.Random,
        providers: Providers,
        dane: DaneSearch,
    ) -> None:
        self._lookup = lookup
        self._ourselves = ourselves
        self._hostname = hostname
        self._port = port
        self._want_ipv6 = want_ipv6
        self._chance = chance
        self._providers = providers
        public_suffixes()  # read now, and not while mail waits for its route
        self._dane = dane

    async def find(self, domain: str) -> Found:
        """Where mail for ``domain`` can go, or why nowhere; never raises for what DNS does."""
        answer = await self._lookup.ask(Question(domain, "MX"))
        if answer.status is Status.NO_NAME:
            answer = await self._lookup.confirm(answer)  # before anything is returned for it
        match answer.status:
            case Status.OK:
                return await self._explicit(domain, answer)
            case Status.NO_DATA:
                return await self._implicit(domain, answer)
            case Status.NO_NAME:
                return DeadEnd(dead_ends.no_domain(domain), answer.ttl_s)
            case Status.SERVER_FAILURE | Status.TIMEOUT if answer.denied_by:
                return DeadEnd(dead_ends.not_confirmed(domain, answer))
            case Status.SERVER_FAILURE | Status.TIMEOUT:
                what = f"the mail hosts of {domain}"
                return DeadEnd(dead_ends.dns_silent(what, own_name(domain)))

    async def _implicit(self, domain: str, answer: Answer) -> Found:
        """No MX: the domain's own address is its mail host."""
        hosts = [MxRecord(0, domain)]
        found = await self._resolve(domain, own_name(domain), hosts, answer, implicit=True)
        if isinstance(found, Plan):
            return found
        answer = await self._lookup.confirm(answer)
        if not answer.status.is_known:
            return DeadEnd(dead_ends.not_confirmed(domain, answer))
        return found if answer.is_negative else await self._explicit(domain, answer)

    async def _explicit(self, domain: str, answer: Answer) -> Found:
        # A "." beside real hosts is a mistake that RFC 7505 §3 forbids; the real ones count.
        records = [record for record in answer.mx() if record.host]
        if not records:
            return DeadEnd(dead_ends.null_mx(domain), answer.ttl_s)
        group = group_of_hosts((record.host for record in records), self._providers)
        best = _better_than(
            records, [r.preference for r in records if self._ourselves.is_our_name(r.host)]
        )
        if not best:
            return DeadEnd(dead_ends.loop(domain, group, self._hostname), answer.ttl_s)
        self._chance.shuffle(best)
        best.sort(key=lambda record: record.preference)
        once = {record.host: record for record in reversed(best)}
        best = sorted(once.values(), key=lambda record: record.preference)[:MAX_HOSTS]
        return await self._resolve(domain, group, best, answer, implicit=False)

    async def _resolve(
        self, domain: str, group: str, records: list[MxRecord], answer: Answer, *, implicit: bool
    ) -> Found:
        """Look up the hosts and leave out what is not better than ourselves."""
        looks = [self._look_up(domain, answer, record.host) for record in records]
        pairs = await asyncio.gather(*looks)
        by_host = {r.host: addresses for r, (addresses, _) in zip(records, pairs, strict=True)}
        danes = {r.host: dane for r, (_, dane) in zip(records, pairs, strict=True)}
        ttl_s = min(float(answer.ttl_s), *(min(a.ttl_s, dane.ttl_s) for a, dane in pairs))
        best = _better_than(
            records, [r.preference for r in records if self._is_us(by_host[r.host])]
        )
        if not best:
            return DeadEnd(dead_ends.loop(domain, group, self._hostname), ttl_s)
        hosts = tuple(
            Host(
                r.host,
                r.preference,
                by_host[r.host].ipv4,
                by_host[r.host].ipv6,
                danes[r.host].demand,
            )
            for r in best
            if not by_host[r.host].is_empty and not danes[r.host].unsure
        )
        if hosts:
            return Plan(group, self._port, hosts, ttl_s)
        untold = [r.host for r in best if danes[r.host].unsure]
        if untold:
            why = Untried(PolicyType.TLSA, TlsResult.DNSSEC_INVALID, untold[0])
            return DeadEnd(dead_ends.dane_untold(domain, untold[0], group), UNSURE_TTL_S, why)
        if any(by_host[r.host].unsure for r in best):
            return DeadEnd(dead_ends.dns_silent(f"the addresses of {domain}'s mail hosts", group))
        if not self._want_ipv6:
            return DeadEnd(dead_ends.only_ipv6(domain, group), ttl_s)
        if implicit:
            return DeadEnd(dead_ends.no_mail_host(domain), ttl_s)
        return DeadEnd(dead_ends.no_host_has_address(domain, group), ttl_s)

    async def _look_up(self, domain: str, answer: Answer, host: str) -> tuple[Addresses, Dane]:
        """A host's addresses, and what its TLSA records demand."""
        addresses = await find_addresses(self._lookup, host, want_ipv6=self._want_ipv6)
        if addresses.is_empty:
            return addresses, NO_DANE
        return addresses, await self._dane.of(domain, answer, host, addresses)

    def _is_us(self, addresses: Addresses) -> bool:
        ips = (*addresses.ipv4, *addresses.ipv6)
        return any(self._ourselves.is_our_address(ip, self._port) for ip in ips)


def _better_than(records: list[MxRecord], ours: list[int]) -> list[MxRecord]:
    """Those preferred to ourselves; all when we are not among them (RFC 5321 §5.1).

    Those equal to us are left out as well: they hand mail to us as we would to them.
    """
    if not ours:
        return list(records)
    return [record for record in records if record.preference < min(ours)]
