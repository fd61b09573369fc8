"""SPF records: read once, kept as values.

A flaw anywhere in a record makes the whole a permerror (RFC 7208 §4.6), so parsing returns either a
record that holds no mistake or the first flaw.

Source: RFC 7208 §3 (records), §4.5 (which TXT records are meant), §4.6.1, §12 (grammar).
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from postern.mail.message.text import without_controls
from postern.mail.spf.macro import MacroString, is_macro_string, parse_domain_spec
from postern.mail.spf.result import SpfCode

MAX_RECORD_CHARS = 8_192
"""A longer record is a permerror; RFC 7208 §3.4 asks for 450 octets, and hostile ones cost time."""
MAX_SHOWN_CHARS = 200
"""Terms are cut to this in evidence."""

_KEPT_CHARS = 1_024  # few are longer; those are read anew, so that strangers cannot fill memory
_VERSION = "v=spf1"
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*+)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([-+?~]?)([A-Za-z0-9]+)([:/].*)?", re.DOTALL)
_LENGTHS = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_IP4 = re.compile(r":([0-9.]{7,15})(?:/(0|[1-9][0-9]?))?")
_IP6 = re.compile(r":([0-9A-Fa-f:.]{2,45})(?:/(0|[1-9][0-9]{0,2}))?")
_LOOKS_LIKE_IP4 = re.compile(r":[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?:/[0-9]+)?")


class Kind(Enum):
    """The mechanisms of RFC 7208 §5, by name."""

    ALL = "all"
    INCLUDE = "include"
    A = "a"
    MX = "mx"
    PTR = "ptr"
    IP4 = "ip4"
    IP6 = "ip6"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Directive:
    """A mechanism and the result it gives where it matches.

    Attributes:
        text: as published, cut to 200 characters.
        target: the domain-spec; None stands for the record's own domain (and for all, ip4, ip6).
        network: the address of ip4 and ip6 as a number.
        prefix4: bits that count of an IPv4 address; ``prefix6``: of an IPv6 address.
    """

    text: str
    kind: Kind
    result: SpfCode
    target: MacroString | None = None
    network: int = 0
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class Redirect:
    """The redirect modifier, as published and parsed."""

    text: str
    target: MacroString


@dataclass(frozen=True, slots=True)
class Record:
    """A record without a mistake.

    ``all`` makes ``redirect`` void wherever they stand (RFC 7208 §6.1): it always matches before.
    """

    directives: tuple[Directive, ...]
    redirect: Redirect | None = None
    explanation: MacroString | None = None


@dataclass(frozen=True, slots=True)
class RecordFlaw:
    """What is wrong with a record: the term, safe to show, and one clause without a full stop."""

    term: str
    text: str


_KINDS = {kind.value: kind for kind in Kind}
_RESULTS = {
    "": SpfCode.PASS,
    "+": SpfCode.PASS,
    "-": SpfCode.FAIL,
    "~": SpfCode.SOFTFAIL,
    "?": SpfCode.NEUTRAL,
}
_NO_DOMAIN = "the domain in it is not well formed"


def is_spf_record(text: str) -> bool:
    """True for the TXT records that RFC 7208 §4.5 selects: ``v=spf1``, then a space or nothing."""
    return text[:6].lower() == _VERSION and text[6:7] in {"", " "}


def parse_record(text: str) -> Record | RecordFlaw:
    """Read a record that ``is_spf_record``; each octet one Latin-1 character, as in an Answer."""
    return _kept(text) if len(text) <= _KEPT_CHARS else _read(text)


@lru_cache(maxsize=512)
def _kept(text: str) -> Record | RecordFlaw:
    return _read(text)


def _read(text: str) -> Record | RecordFlaw:
    if len(text) > MAX_RECORD_CHARS:
        return RecordFlaw("", f"the record is longer than {MAX_RECORD_CHARS} octets")
    directives: list[Directive] = []
    modifiers: dict[str, Redirect] = {}
    for term in text[len(_VERSION) :].split(" "):
        if not term:
            continue
        modifier = _MODIFIER.fullmatch(term)
        if modifier is not None:
            flaw = _take_modifier(term, modifier[1].lower(), modifier[2], modifiers)
            if flaw is not None:
                return RecordFlaw(_shown(term), flaw)
            continue
        directive = _parse_directive(term)
        if not isinstance(directive, Directive):
            return RecordFlaw(_shown(term), directive)
        directives.append(directive)
    explanation = modifiers.get("exp")
    return Record(
        tuple(directives), modifiers.get("redirect"), explanation.target if explanation else None
    )


def _shown(term: str) -> str:
    return without_controls(term[:MAX_SHOWN_CHARS])


def _take_modifier(term: str, name: str, value: str, known: dict[str, Redirect]) -> str | None:
    """Put a modifier we know among ``known``; returns what is wrong with it, or None."""
    if name not in {"redirect", "exp"}:
        return None if is_macro_string(value) else "its value is not well formed"
    if name in known:
        return f"{name} stands in the record twice"
    target = parse_domain_spec(value)
    if target is None:
        return _NO_DOMAIN
    known[name] = Redirect(_shown(term), target)
    return None


def _parse_directive(term: str) -> Directive | str:
    """A directive, or what is wrong with the term."""
    match = _MECHANISM.fullmatch(term)
    kind = None if match is None else _KINDS.get(match[2].lower())
    if match is None or kind is None:
        return "there is no such mechanism"
    result, rest = _RESULTS[match[1]], match[3] or ""
    match kind:
        case Kind.ALL:
            return "nothing may follow all" if rest else Directive(_shown(term), kind, result)
        case Kind.IP4:
            return _parse_ip4(term, result, rest)
        case Kind.IP6:
            return _parse_ip6(term, result, rest)
        case Kind.A | Kind.MX:
            return _parse_with_lengths(term, kind, result, rest)
        case Kind.INCLUDE | Kind.EXISTS | Kind.PTR:
            if not rest:
                bare = kind is Kind.PTR
                return Directive(_shown(term), kind, result) if bare else "it needs a domain"
            target = parse_domain_spec(rest[1:]) if rest[0] == ":" else None
            return Directive(_shown(term), kind, result, target) if target else _NO_DOMAIN


def _parse_ip4(term: str, result: SpfCode, rest: str) -> Directive | str:
    match = _IP4.fullmatch(rest)
    if match is None:
        return "it needs an IPv4 address, which may end in /0 to /32"
    prefix = int(match[2] or 32)
    try:
        network = int(IPv4Address(match[1]))
    except ValueError:
        return "the IPv4 address in it is not well formed"
    if prefix > 32:
        return "the length after / is over 32"
    return Directive(_shown(term), Kind.IP4, result, network=network, prefix4=prefix)


def _parse_ip6(term: str, result: SpfCode, rest: str) -> Directive | str:
    match = _IP6.fullmatch(rest)
    if match is None:
        return "it needs an IPv6 address, which may end in /0 to /128"
    prefix = int(match[2] or 128)
    try:
        network = int(IPv6Address(match[1]))
    except ValueError:
        return "the IPv6 address in it is not well formed"
    if prefix > 128:
        return "the length after / is over 128"
    return Directive(_shown(term), Kind.IP6, result, network=network, prefix6=prefix)


def _parse_with_lengths(term: str, kind: Kind, result: SpfCode, rest: str) -> Directive | str:
    """``a`` and ``mx``: a domain-spec or none, then ``/24``, ``//64`` or both (RFC 7208 §5.6)."""
    if _LOOKS_LIKE_IP4.fullmatch(rest):
        return "an address is published with ip4"
    lengths = _LENGTHS.search(rest)
    assert lengths is not None  # it matches nothing at the end if need be
    target = None
    named = rest[: lengths.start()]
    if named:
        if named[0] == "/":
            return "the length after / is not well formed"
        target = parse_domain_spec(named[1:])
        if target is None:
            return _NO_DOMAIN
    prefix4, prefix6 = int(lengths[1] or 32), int(lengths[2] or 128)
    if prefix4 > 32 or prefix6 > 128:
        return "the length after / is over 32, or that after // over 128"
    return Directive(_shown(term), kind, result, target, prefix4=prefix4, prefix6=prefix6)
