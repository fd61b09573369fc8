"""The sender's domain: whether anybody could answer a message from there.

Source: RFC 5321 §5.1 (MX, or the address where there is none), RFC 7505 §4.2 (null MX: it sends no
mail and takes none), RFC 5321 §3.6.2 and §7.8 (why a server may ask).
"""

from ipaddress import ip_address

from postern.mail.dns import Question, Status
from postern.mail.finding import Finding, Result
from postern.policy.checks.check import Found, Seen, ask_all, couldnt_tell, failed, passed
from postern.runtime.resolver.lookup import Lookup

MAX_HOSTS = 10
"""Hosts of an MX list whose addresses are looked at; of a longer one nothing bad is said."""
_FAILS = ("mailfrom.no-domain", "mailfrom.no-mx")


async def check_mailfrom(seen: Seen, lookup: Lookup) -> Found:
    """``mailfrom.no-domain``, ``mailfrom.no-mx``, ``mailfrom.dns-timeout``, or fine."""
    sender = seen.mail_from
    if sender is None or sender.is_literal or not sender.domain:
        return Found()
    domain = sender.domain
    answer = await lookup.ask(Question.of(domain, "MX"))
    if not answer.status.is_known:
        what = f"the mail servers of {domain}"
        return couldnt_tell("mailfrom.dns-timeout", answer, what, _FAILS)
    if answer.status is Status.NO_NAME:
        return failed("mailfrom.no-domain", f"the sender's domain {domain} does not exist")
    hosts = [mx.host for mx in answer.mx()]
    if answer.status is Status.NO_DATA or not hosts:
        return await _by_address(domain, lookup)
    if hosts == [""]:
        return failed("mailfrom.no-mx", f"the sender's domain {domain} says that it has no mail")
    return await _by_hosts(domain, [host for host in hosts if host], lookup)


async def _by_address(domain: str, lookup: Lookup) -> Found:
    """A domain without MX takes its mail at its own address."""
    return await _reachable(domain, [domain], lookup, f"{domain} has neither MX nor address")


async def _by_hosts(domain: str, hosts: list[str], lookup: Lookup) -> Found:
    hosts = list(dict.fromkeys(hosts))
    found = await _reachable(
        domain,
        hosts[:MAX_HOSTS],
        lookup,
        f"the mail servers of the sender's domain {domain} have no address that can be reached",
    )
    if len(hosts) > MAX_HOSTS and found.findings[0].result is Result.FAIL:
        text = f"none of the first {MAX_HOSTS} mail servers of {domain} has an address"
        return Found((Finding("mailfrom.no-mx", Result.NOTE, text),))
    return found


async def _reachable(domain: str, hosts: list[str], lookup: Lookup, text: str) -> Found:
    questions = [Question.of(host, type_) for host in hosts for type_ in ("A", "AAAA")]
    answers = await ask_all(lookup, questions)
    if any(_is_out_there(record) for answer in answers for record in answer.records):
        return passed("mailfrom.no-mx", f"{domain} has mail servers")
    silent = next((answer for answer in answers if not answer.status.is_known), None)
    if silent is not None:
        what = f"the mail servers of {domain}"
        return couldnt_tell("mailfrom.dns-timeout", silent, what, _FAILS[1:])
    return failed("mailfrom.no-mx", text)


def _is_out_there(ip: str) -> bool:
    """False for addresses that lead back to whoever uses them: loopback, unspecified."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None) or address
    return not any(
        (inner.is_loopback, inner.is_unspecified, inner.is_multicast, inner.is_link_local)
    )
