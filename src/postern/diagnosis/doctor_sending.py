"""The doctor looks at us as other servers do: our reverse DNS, our name, block lists we are on.

What they ask first of a stranger they ask of us: does its address have a name, is that the name it
gives, and has anybody complained of it (RFC 5321 §4.1.4, RFC 5782 §2).
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator, Sequence

from postern.diagnosis.doctor_results import (
    Result,
    Sender,
    Site,
    couldnt_tell,
    ok,
    problem,
    warning,
)
from postern.mail.dns import Answer, Question, Status, reversed_ip
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup
from postern.runtime.resolver.resolver import Resolver

LIMIT_S = 20.0
MAX_NAMES = 5
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
         "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
    )
)  # fmt: skip
"""Nobody outside sees these: a machine behind NAT is seen as somebody else."""


def examine_sending(site: Site, clock: Clock) -> Iterator[Result]:
    """Every address that mail leaves from, as far as the configuration tells."""
    yield from asyncio.run(_examine(site, clock))


async def _examine(site: Site, clock: Clock) -> list[Result]:
    resolver = Resolver(site.lookups, clock)
    try:
        return await within_time(look_at_senders(site.senders, site.blocklists, resolver))
    finally:
        await resolver.aclose(0.0)


async def within_time(looking: AsyncIterator[Result], limit_s: float = LIMIT_S) -> list[Result]:
    """What is found until then, and that the rest is not known."""
    results: list[Result] = []
    try:
        async with asyncio.timeout(limit_s):
            async for result in looking:
                results.append(result)  # noqa: PERF401 - those before the time is up count
    except TimeoutError:
        text = f"DNS did not tell within {limit_s:.0f} s all of how others see our addresses"
        results.append(couldnt_tell("sending.address", text, whose="between"))
    return results


async def look_at_senders(
    senders: Sequence[Sender], blocklists: Sequence[str], lookup: Lookup
) -> AsyncIterator[Result]:
    """Results for each, one after the other; addresses that nobody outside sees are left out."""
    for sender in senders:
        addresses = [sender.source] if sender.source else await _addresses(sender.helo, lookup)
        if addresses is None:
            text = f"DNS did not tell the addresses of {sender.helo}"
            yield couldnt_tell("sending.address", text, whose="between")
            continue
        for ip in addresses:
            if not any(ipaddress.ip_address(ip) in network for network in _INSIDE):
                yield await _reverse(ip, sender, lookup)
                yield await _name(ip, sender, lookup)
                for zone in blocklists:
                    yield await _listed(ip, zone, lookup)


async def _addresses(name: str, lookup: Lookup) -> list[str] | None:
    """Where our name leads; None: couldn't tell."""
    kinds = ("A", "AAAA")
    answers = [await lookup.ask(Question.of(name, kind)) for kind in kinds]
    found = [ip for answer in answers if answer.status is Status.OK for ip in answer.records]
    is_sure = all(answer.status.is_known for answer in answers)
    return found if found or is_sure else None


async def _reverse(ip: str, sender: Sender, lookup: Lookup) -> Result:
    check = f"sending.ptr.{sender.egress}"
    answer = await lookup.ask(Question.reverse(ip))
    if not answer.status.is_known:
        return couldnt_tell(check, f"DNS did not tell the reverse name of {ip}", whose="between")
    names = [name.lower() for name in answer.records][:MAX_NAMES]
    fix = f"ask whoever gave you {ip} to set its PTR record to {sender.helo}"
    if not names:
        return problem(check, f"{ip} has no reverse DNS name: many refuse its mail", fix)
    found = {name: await _leads_to(name, ip, lookup) for name in names}
    for name, leads in found.items():
        if leads:
            return ok(check, f"{ip} is {name}, and {name} is {ip}")
    if None in found.values():
        text = f"DNS did not tell whether {names[0]} leads back to {ip}"
        return couldnt_tell(check, text, whose="between")
    told = f"{ip} claims to be {names[0]}, which does not lead back: many refuse its mail"
    return problem(check, told, fix)


async def _name(ip: str, sender: Sender, lookup: Lookup) -> Result:
    check = f"sending.helo.{sender.egress}"
    leads = await _leads_to(sender.helo, ip, lookup)
    if leads is None:
        text = f"DNS did not tell where the name we give, {sender.helo}, leads"
        return couldnt_tell(check, text, whose="between")
    if leads:
        return ok(check, f"the name we give, {sender.helo}, leads to {ip}")
    return warning(
        check,
        f"the name we give, {sender.helo}, does not lead to {ip}",
        f"publish an address record of {sender.helo} with {ip}, or set helo of this [[egress]]",
    )


async def _listed(ip: str, zone: str, lookup: Lookup) -> Result:
    check = f"sending.listed.{zone}"
    question = Question.of(f"{reversed_ip(ip)}.{zone}", "A")
    answer = await lookup.ask(question, foreign_ok=False)
    if answer.is_negative:
        return ok(check, f"{ip} is not on {zone}")
    if answer.status is not Status.OK or not _is_entry(answer):
        return couldnt_tell(check, f"{zone} did not tell whether {ip} is on it", whose="between")
    said = await lookup.ask(Question(question.name, "TXT"), foreign_ok=False)
    reason = f": {said.records[0]}" if said.status is Status.OK and said.records else ""
    fix = "find out why (postern why, the list's own page), then ask to be taken off"
    return problem(check, f"{ip} is on {zone}{reason[:200]}", fix)


def _is_entry(answer: Answer) -> bool:
    """127.255.255.x says that we may not ask, and other networks that the list is no more."""
    return any(ip.startswith("127.") and not ip.startswith("127.255.255.") for ip in answer.records)


async def _leads_to(name: str, ip: str, lookup: Lookup) -> bool | None:
    """Whether a name has that address; None: couldn't tell."""
    answer = await lookup.ask(Question.of(name, "AAAA" if ":" in ip else "A"))
    if not answer.status.is_known:
        return None
    wanted = ipaddress.ip_address(ip)
    return any(ipaddress.ip_address(found) == wanted for found in answer.records)
