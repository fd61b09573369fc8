"""Mail addresses as values (RFC 5321 §4.1.2-3, RFC 6531).

The grammar of one mailbox lives here; what surrounds it on the wire (angle brackets, source
routes) is in ``postern.mail.smtp.path``. Text from people (command line, configuration) comes in
through ``parse_address`` and ``normalise_domain``.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from unicodedata import normalize

import idna

MAX_LOCAL_BYTES = 200
"""RFC 5321 §4.5.3.1.1 has 64, and §4.5.3.1 asks for no limit where that can be: return addresses of
mailing lists and forwarders (VERP, SRS) are longer, and every large server takes them."""
MAX_DOMAIN_BYTES = 255
"""RFC 5321 §4.5.3.1.2; measured on the A-labels, which is what DNS and older peers see."""
MAX_MAILBOX_BYTES = 254
"""What RFC 5321 §4.5.3.1.3 leaves of a path without its angle brackets."""
MAX_LABEL_BYTES = 63
"""RFC 1035 §2.3.4."""

ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
"""The characters of an atom, for use inside a character class (RFC 5322 §3.2.3)."""
LABEL = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
"""One domain label; its alternatives never overlap, so matching takes linear time."""

_ATOM = rf"[{ATEXT}\x80-\U0010ffff]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*")
_MAILBOX = re.compile(
    rf"(?:(?P<plain>{_ATOM}(?:\.{_ATOM})*)"
    r'|"(?P<quoted>(?:[^"\\]|\\[\x20-\x7e])*)")'
    r"@(?:(?P<literal>\[[^\[\]\\@\s]*\])|(?P<domain>[^\s\[\]<>@,:;()\"\\]+))"
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_NEEDS_ESCAPE = re.compile(r'(["\\])')
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What no address, name or argument may hold: C0, DEL, C1, and Unicode's own line ends."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox.

    ``local`` is the local part without quotes or escapes; ``domain`` is lower-case A-labels, or an
    address literal with its brackets such as ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``; empty only
    for the bare ``<postmaster>`` of RFC 5321 §4.5.1.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        """As it stands in a path or header, quoted only where RFC 5321 §4.1.2 needs it."""
        local = self.local if _DOT_STRING.fullmatch(self.local) else _quote(self.local)
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def key(self) -> str:
        """``local@domain`` in lower case (and NFC), for look-ups; never quoted."""
        local = self.local.lower()
        if not local.isascii():
            local = normalize("NFC", normalize("NFC", self.local).lower())
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def is_literal(self) -> bool:
        """True for ``user@[192.0.2.1]``: the domain is an address, not a name."""
        return self.domain.startswith("[")

    @property
    def needs_smtputf8(self) -> bool:
        """True when it can be sent only to peers that offer SMTPUTF8 (RFC 6531 §3.2)."""
        return not self.local.isascii()


@dataclass(frozen=True, slots=True)
class MailboxSpan:
    """A mailbox that was read from a text, and where in the text it ended."""

    address: Address
    end: int


@dataclass(frozen=True, slots=True)
class AddressFlaw:
    """Why a text is not an address: one plain clause without a full stop."""

    text: str


def read_mailbox(text: str, start: int = 0) -> MailboxSpan | AddressFlaw:
    """The mailbox that begins at ``start``; what follows it is the caller's business.

    ``text`` must be free of ``CONTROLS``. Domains come back as lower-case A-labels (UTS 46, then
    IDNA 2008, RFC 5891 §5), address literals in their canonical spelling.

    Source: RFC 5321 §4.1.2 with the extensions of RFC 6531 §3.3.
    """
    match = _MAILBOX.match(text, start)
    if match is None:
        return AddressFlaw(_why_unreadable(text[start:]))
    plain, quoted, literal, name = match.group("plain", "quoted", "literal", "domain")
    local = plain if plain is not None else _QUOTED_PAIR.sub(r"\1", quoted)
    if len(local.encode()) > MAX_LOCAL_BYTES:
        return AddressFlaw(f"the part before @ is longer than {MAX_LOCAL_BYTES} bytes")
    if literal is not None:
        domain = canonical_literal(literal)
        if domain is None:
            return AddressFlaw("the address literal is neither IPv4 nor IPv6")
    else:
        domain = to_a_labels(name)
        if domain is None:
            return AddressFlaw("the domain is not a valid name")
    address = Address(local, domain)
    if len(str(address).encode()) > MAX_MAILBOX_BYTES:
        return AddressFlaw(f"the address is longer than {MAX_MAILBOX_BYTES} bytes")
    return MailboxSpan(address, match.end())


def to_a_labels(name: str) -> str | None:
    """A domain name as lower-case A-labels without a final dot, or None when it is not one."""
    if len(name) > MAX_DOMAIN_BYTES:
        return None
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
        except UnicodeError:  # idna.IDNAError is one
            return None
    if len(name) > MAX_DOMAIN_BYTES or _DOMAIN.fullmatch(name) is None:
        return None
    if len(name) > MAX_LABEL_BYTES and has_long_label(name):
        return None
    return name.lower()


def has_long_label(name: str) -> bool:
    """True when a label is longer than the 63 bytes of DNS."""
    return any(len(label) > MAX_LABEL_BYTES for label in name.split("."))


def parse_address(text: str) -> Address | None:
    """An address as a person writes it (no angle brackets), or None when it is not one.

    Blanks around it are ignored, U-labels are converted, and the domain may end in a dot.
    """
    text = text.strip()
    if CONTROLS.search(text):
        return None
    span = read_mailbox(text.removesuffix("."))
    if isinstance(span, AddressFlaw) or span.end != len(text.removesuffix(".")):
        return None
    return span.address


def normalise_domain(text: str) -> str | None:
    """A domain as a person writes it, as lower-case A-labels without final dot; None if not one."""
    return to_a_labels(text.strip().removesuffix("."))


def canonical_literal(literal: str) -> str | None:
    """``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` in canonical spelling (RFC 5321 §4.1.3)."""
    inner = literal[1:-1]
    try:
        if inner[:5].lower() != "ipv6:":
            return f"[{IPv4Address(inner)}]"
        if "%" in inner:  # a zone index means nothing on another machine
            return None
        return f"[IPv6:{IPv6Address(inner[5:])}]"
    except ValueError:
        return None


def _quote(local: str) -> str:
    """A local part as a quoted string; controls, which no parser lets in, become ``?``."""
    escaped = _NEEDS_ESCAPE.sub(r"\\\1", CONTROLS.sub("?", local))
    return f'"{escaped}"'


def _why_unreadable(text: str) -> str:
    """The most helpful thing to say about a text that does not begin with a mailbox."""
    if "@" not in text:
        return "the address has no @ and domain"
    if text.startswith("@"):
        return "the part before @ is missing"
    if text.endswith(("@", "@>")):
        return "the domain after @ is missing"
    return "the address is not well formed"
