"""What counts as the same mail again: from one pool of clients, one sender to one recipient.

A provider tries again from another of its servers, so these count as one: all that SPF lets send
for the sender's domain; else all whose confirmed names have one registrable domain; else a network.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network

from postern.directory.names import key_of
from postern.mail.address import Address
from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.policy.greylist.suspicion import is_made_of
from postern.policy.rules.match import IP, Facts

Registrable = Callable[[str], str | None]
"""``provider.example`` of ``out-3.mail.provider.example``; None of a public suffix."""

_TAGS = re.compile(r"[+=].*", re.DOTALL)
_DIGITS = re.compile(r"\d+")
MAX_CHARS = 320


@dataclass(frozen=True, slots=True)
class Key:
    """From whom to whom.

    Attributes:
        pool: ``spf:tea.example``, ``ptr:provider.example`` or ``net:198.51.100.0/24``.
        sender: ``@tea.example`` where SPF proves it; else ``chen@tea.example`` without numbers and
            tags, which many lists write anew each time; empty for the null sender.
        recipient: as it was called.
        trusted: what passes for all senders once it passed often; a name's domain does not, for a
            hosting provider's customers are all below it.
    """

    pool: str
    sender: str
    recipient: str
    trusted: str


def key_for(
    facts: Facts,
    identifiers: tuple[Identifier, ...],
    named: Address,
    registrable: Registrable,
) -> Key:
    """The key of mail to the recipient called ``named``; ``facts.ip`` must be there."""
    assert facts.ip is not None
    recipient = str(key_of(named))[:MAX_CHARS]
    network = f"net:{network_of(facts.ip)}"
    proven = _proven(identifiers)
    if proven:
        sender = "" if facts.mail_from is None else f"@{facts.mail_from.domain}"
        pool = f"spf:{proven}"
        return Key(pool, sender, recipient, pool)
    sender = "" if facts.mail_from is None else _plain(facts.mail_from)
    name = ""
    if facts.ptr and not is_made_of(facts.ptr, facts.ip):
        name = registrable(facts.ptr) or ""
    return Key(f"ptr:{name}" if name else network, sender, recipient, network)


def network_of(ip: IP) -> str:
    """One /24, one /64 of IPv6."""
    return str(ip_network((ip, 24 if ip.version == 4 else 64), strict=False))


def _proven(identifiers: tuple[Identifier, ...]) -> str:
    """The sender's domain (the server's name for the null sender) where SPF passes."""
    for one in identifiers:
        if one.method is Method.SPF and one.proof is Proof.PASS:
            return one.domain.lower().removesuffix(".")
    return ""


def _plain(sender: Address) -> str:
    local = _DIGITS.sub("#", _TAGS.sub("", sender.local.lower()))
    return f"{local}@{sender.domain}"[:MAX_CHARS]
