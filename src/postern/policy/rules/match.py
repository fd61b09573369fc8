"""Which mail a rule is about: the words people write, and whether a message fits them.

Some of a message is known only once its header is there. Until then a rule may neither fit nor not
fit: it says NOT_YET, and whoever judges waits for DATA before a refusal that the rule could lift.
"""

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from postern.mail.address import Address, parse_address, to_a_labels

IP = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_NAME_CHARS = 255


class MatchKind(Enum):
    """What is compared; the order is from the most to the least particular."""

    ADDRESS = "address"
    DOMAIN = "domain"
    BELOW = "below"
    NETWORK = "network"
    PTR = "ptr"
    LIST_ID = "list"
    HELO = "helo"
    KNOWN = "known"
    ALL = "all"

    # Enum's own hash is a Python function of the name; shelves look up by kind for every mail.
    __hash__ = object.__hash__


SENDER_KINDS = frozenset({MatchKind.ADDRESS, MatchKind.DOMAIN, MatchKind.BELOW})
"""About who the mail says it is from."""
SAID_KINDS = SENDER_KINDS | {MatchKind.LIST_ID, MatchKind.HELO}
"""About what anyone can say: who lets through by these asks for proof."""


@dataclass(frozen=True, slots=True)
class Match:
    """``value`` has one spelling: lower case, A-labels, a network with its length, or empty."""

    kind: MatchKind
    value: str = ""

    def __str__(self) -> str:
        """As people write it; ``parse_match`` reads it back."""
        match self.kind:
            case MatchKind.ADDRESS:
                local, _, domain = self.value.rpartition("@")
                return str(Address(local, domain))
            case MatchKind.NETWORK:
                address, _, length = self.value.partition("/")
                whole = "128" if ":" in address else "32"
                return address if length == whole else self.value
            case MatchKind.DOMAIN:
                return f"@{self.value}"
            case MatchKind.BELOW:
                return f"@*.{self.value}"
            case MatchKind.HELO | MatchKind.PTR | MatchKind.LIST_ID:
                return f"{self.kind.value}:{self.value}"
            case MatchKind.KNOWN | MatchKind.ALL:
                return str(self.kind.value)


@dataclass(frozen=True, slots=True)
class MatchFlaw:
    """Why a text names no mail: one sentence without a full stop, with what could be written."""

    text: str


def parse_match(text: str) -> Match | MatchFlaw:
    """Read what people write.

    ``li@tea.example``, ``@tea.example``, ``@*.tea.example`` (the domain and all below it),
    ``198.51.100.24``, ``198.51.100.0/24``, ``helo:mail.tea.example``, ``ptr:mail.tea.example``,
    ``list:offers.tea.example``, ``known``, ``all``.
    """
    text = text.strip()
    word, colon, rest = text.partition(":")
    if text.lower() in {"all", "known"}:
        return Match(MatchKind(text.lower()))
    if text.startswith('"'):
        return _address(text)
    if colon and word.lower() in _NAMED:
        return _named(MatchKind(word.lower()), rest)
    if text.startswith("@*."):
        return _domain(MatchKind.BELOW, text[3:])
    if text.startswith("@"):
        return _domain(MatchKind.DOMAIN, text[1:])
    return _address(text) if "@" in text else _network(text)


_NAMED = frozenset({MatchKind.HELO.value, MatchKind.PTR.value, MatchKind.LIST_ID.value})


_NAME = re.compile(r"[a-z0-9_\[\]:-]+(?:\.[a-z0-9_\[\]:-]+)*")


def _address(text: str) -> Match | MatchFlaw:
    address = parse_address(text)
    if address is None or not address.domain:
        return MatchFlaw(f"{text!r} is no address; write li@tea.example")
    return Match(MatchKind.ADDRESS, address.key)


def _named(kind: MatchKind, text: str) -> Match | MatchFlaw:
    name = text.strip().removeprefix("<").removesuffix(">").lower().removesuffix(".")
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        return MatchFlaw(f"{kind.value}: needs a name, such as {kind.value}:mail.tea.example")
    return Match(kind, name)


def _domain(kind: MatchKind, text: str) -> Match | MatchFlaw:
    name = to_a_labels(text)
    if name is None:
        return MatchFlaw(f"{text!r} is no domain; write @tea.example, or @*.tea.example")
    return Match(kind, name)


def _network(text: str) -> Match | MatchFlaw:
    try:
        return Match(MatchKind.NETWORK, str(ip_network(text, strict=False)))
    except ValueError:
        return MatchFlaw(
            f"{text!r} names no mail; write an address, @domain, @*.domain, an IP or CIDR, "
            "helo:NAME, ptr:NAME, list:ID, known, or all"
        )


class Fit(Enum):
    """Whether a message is one that a rule is about."""

    YES = "yes"
    NO = "no"
    NOT_YET = "not-yet"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a message that rules can be about, so far.

    Attributes:
        at: now, in seconds since 1970: rules end.
        ip: the client's; None for mail that came over a socket of this machine.
        helo: its word for itself, lower case.
        ptr: its name in reverse DNS, confirmed, lower case; empty where it has none.
        mail_from: the envelope's sender; None for the null sender, and before MAIL.
        header_from: authors named in the header; None while it has not come.
        list_id: the list's identifier (RFC 2919 §2), lower case; None while it has not come.
        proven: domains (A-labels) that SPF passed for or whose DKIM signature verified.
        is_known: it is proven to come from somebody this recipient has written to.
    """

    at: float
    ip: IP | None = None
    helo: str = ""
    ptr: str = ""
    mail_from: Address | None = None
    header_from: tuple[Address, ...] | None = None
    list_id: str | None = None
    proven: frozenset[str] = frozenset()
    is_known: bool = False

    @property
    def has_header(self) -> bool:
        """True once nothing more will be learnt of the message."""
        return self.header_from is not None


def fit(match: Match, facts: Facts, *, needs_proof: bool) -> Fit:
    """Whether ``facts`` are of a message that ``match`` names.

    With ``needs_proof`` the sender's domain must be proven (SPF or DKIM), not only said.
    """
    if match.kind in SENDER_KINDS:
        return _fit_sender(match, facts, needs_proof=needs_proof)
    match match.kind:
        case MatchKind.LIST_ID:
            if facts.list_id is None:
                return Fit.NOT_YET
            is_shown = not needs_proof or _speaks_for(facts.proven, facts.list_id)
            return _of(facts.list_id == match.value and is_shown)
        case MatchKind.NETWORK:
            return _of(facts.ip is not None and facts.ip in ip_network(match.value))
        case MatchKind.HELO:
            is_shown = facts.ptr == match.value or _speaks_for(facts.proven, match.value)
            return _of(facts.helo == match.value and (is_shown or not needs_proof))
        case MatchKind.PTR:
            return _of(facts.ptr == match.value)
        case MatchKind.KNOWN:
            return _of(facts.is_known)
        case _:
            return Fit.YES


def _of(fits: bool) -> Fit:  # noqa: FBT001 - a truth made into a word
    return Fit.YES if fits else Fit.NO


def _fit_sender(match: Match, facts: Facts, *, needs_proof: bool) -> Fit:
    named = [] if facts.mail_from is None else [facts.mail_from]
    named += facts.header_from or ()
    for address in named:
        if _names(match, address) and (not needs_proof or is_proven(address, facts.proven)):
            return Fit.YES
    # Before the header has come another author may be named, and DKIM may prove what SPF did not.
    return Fit.NO if facts.has_header else Fit.NOT_YET


def _names(match: Match, address: Address) -> bool:
    match match.kind:
        case MatchKind.ADDRESS:
            return address.key == match.value
        case MatchKind.DOMAIN:
            return address.domain == match.value
        case _:
            return is_within(address.domain, match.value)


def is_within(domain: str, parent: str) -> bool:
    """True for ``parent`` itself and for every name below it."""
    return domain == parent or domain.endswith(f".{parent}")


def is_proven(address: Address, proven: frozenset[str]) -> bool:
    """True when a domain that was proven is the address's own or one above it.

    A signature of ``tea.example`` speaks for ``shop.tea.example``, whose DNS it controls; one of
    ``shop.tea.example`` does not speak for ``tea.example``.
    """
    return _speaks_for(proven, address.domain)


def _speaks_for(proven: frozenset[str], name: str) -> bool:
    return any(is_within(name, domain) for domain in proven)
