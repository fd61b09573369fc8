"""The sender's domain: whether anybody could answer a message from there.

Source: RFC 5321 §5.1 (MX, or the address where there is none), RFC 7505 §4.2 (null MX: it sends no
mail and takes none), RFC 5321 §3.6.2 and §7.8 (why a server may ask).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from postern.mail.dns import Answer, Question, Status
from postern.mail.finding import Finding, Result
from postern.policy.checks.check import (
    Found,
    Seen,
    ask_all,
    confirm_all,
    couldnt_tell,
    denied,
    failed,
    passed,
)
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
    if answer.status is Status.NO_NAME:
        answer = await lookup.confirm(answer)
    if not answer.status.is_known:
        what = f"the mail servers of {domain}"
        return couldnt_tell("mailfrom.dns-timeout", answer, what, _FAILS)
    if answer.status is Status.NO_NAME:
        return failed("mailfrom.no-domain", f"the sender's domain {domain} does not exist")
    if answer.status is Status.NO_DATA:
        return await _without_mx(domain, answer, lookup)
    return await _by_mx(domain, answer, lookup)


async def _without_mx(domain: str, answer: Answer, lookup: Lookup) -> Found:
    """A domain without MX takes its mail at its own address."""
    text = f"the sender's domain {domain} has neither a mail server nor an address"
    found = await _reachable(domain, [domain], lookup, text)
    if found.findings[0].result is not Result.FAIL:
        return found
    answer = await lookup.confirm(answer)
    if not answer.status.is_known:
        what = f"the mail servers of {domain}"
        return couldnt_tell("mailfrom.dns-timeout", answer, what, _FAILS[1:])
    return found if answer.is_negative else await _by_mx(domain, answer, lookup)


async def _by_mx(domain: str, answer: Answer, lookup: Lookup) -> Found:
    named = [mx.host for mx in answer.mx()]
    if named == [""]:
        return failed("mailfrom.no-mx", f"the sender's domain {domain} says that it has no mail")
    hosts = list(dict.fromkeys(host for host in named if host))
    found = await _reachable(
        domain,
        hosts[:MAX_HOSTS],
        lookup,
        f"the mail servers of the sender's domain {domain} have no address that can be reached",
        denied([answer]),
    )
    if len(hosts) > MAX_HOSTS and found.findings[0].result is Result.FAIL:
        text = f"none of the first {MAX_HOSTS} mail servers of {domain} has an address"
        found = Found((Finding("mailfrom.no-mx", Result.NOTE, text),))
    twice = sorted(host for host, times in Counter(named).items() if times > 1)
    if not twice:
        return found
    text = f"{domain} names its mail server {twice[0]} more than once"
    note = Finding("mailfrom.no-mx", Result.NOTE, text)
    return replace(found, findings=(*found.findings, note))


async def _reachable(
    domain: str, hosts: list[str], lookup: Lookup, text: str, aside: str = ""
) -> Found:
    questions = [Question.of(host, type_) for host in hosts for type_ in ("A", "AAAA")]
    answers = await ask_all(lookup, questions)
    if not _is_reached(answers):
        answers = await confirm_all(lookup, answers)
    if _is_reached(answers):
        aside = aside or denied(answers)
        return passed("mailfrom.no-mx", f"{domain} has mail servers{aside}")
    silent = next((answer for answer in answers if not answer.status.is_known), None)
    if silent is not None:
        what = f"the mail servers of {domain}"
        return couldnt_tell("mailfrom.dns-timeout", silent, what, _FAILS[1:])
    return failed("mailfrom.no-mx", text)


def _is_reached(answers: Iterable[Answer]) -> bool:
    return any(_is_out_there(record) for answer in answers for record in answer.records)


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
