"""From the name of a mail host to addresses that a connection may be opened to."""

import asyncio
import ipaddress
import re
from dataclasses import dataclass

from postern.mail.dns import Answer, Question, Status
from postern.runtime.resolver.lookup import Lookup

FIXED_TTL_S = 3_600.0
"""How long what needs no look-up is kept."""
UNSURE_TTL_S = 30.0
"""How long findings with a gap ("couldn't tell") are kept."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Addresses:
    """What DNS said of one host. ``unsure``: some look-up couldn't tell.

    ``secure``: DNSSEC vouches for the addresses. ``canonical``: the name that the host is an alias
    of. ``is_foreign``: another resolver than home said it.
    """

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    unsure: bool = False
    ttl_s: float = FIXED_TTL_S
    secure: bool = False
    canonical: str = ""
    is_foreign: bool = False

    @property
    def is_empty(self) -> bool:
        """True when no address is known."""
        return not (self.ipv4 or self.ipv6)


async def find_addresses(lookup: Lookup, host: str, *, want_ipv6: bool) -> Addresses:
    """The usable addresses of ``host``, IPv4 and IPv6 asked for at once.

    An IP address in place of a name is taken for what it is: many zones have it wrong so (RFC 1035
    §3.3.9 wants a name), and the mail hosts behind them work. CNAMEs are tolerated likewise
    (RFC 5321 §5.1 forbids them); the resolver follows them.
    """
    if is_address(host):
        usable = _usable((host,))
        return Addresses(ipv6=usable) if ":" in host else Addresses(ipv4=usable)
    if not _NAME.fullmatch(host):
        return Addresses()
    questions = [Question(host, "A"), *([Question(host, "AAAA")] if want_ipv6 else [])]
    answers = await asyncio.gather(*(lookup.ask(question) for question in questions))
    if not any(answer.status is Status.OK for answer in answers):
        # Mail is returned where no host has an address: a second resolver has to say so too.
        answers = await asyncio.gather(*(lookup.confirm(answer) for answer in answers))
    unsure = any(not answer.status.is_known for answer in answers)
    ttl_s = min((float(a.ttl_s) for a in answers if a.status.is_known), default=0.0)
    found = [answer for answer in answers if answer.status is Status.OK]
    return Addresses(
        _usable(_records(answers[0])),
        _usable(_records(answers[1])) if want_ipv6 else (),
        unsure,
        min(ttl_s, UNSURE_TTL_S) if unsure else ttl_s,
        secure=bool(found) and all(answer.secure for answer in found),
        canonical=found[0].canonical if found else "",
        is_foreign=any(answer.resolver != lookup.home for answer in found),
    )


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _records(answer: Answer) -> tuple[str, ...]:
    return answer.records if answer.status is Status.OK else ()


def _usable(ips: tuple[str, ...]) -> tuple[str, ...]:
    """``ips`` once each, without those that no mail server can have.

    Some zones publish ``0.0.0.0`` or multicast addresses to be left in peace; connecting there
    would reach this machine, or many.
    """
    return tuple(dict.fromkeys(ip for ip in ips if _is_unicast(ip)))


def _is_unicast(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    if address.is_unspecified or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not address.is_reserved and not ip.startswith("0.")
    return address.ipv4_mapped is None and not address.is_link_local
