"""What can be asked of the journal, and how a person's words are understood.

Anything that names a mail is taken: an address, a domain, an IP address or network, a HELO name,
a Message-ID, a trace code, words of the subject, or a whole bounce message.
"""

import re
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network

from postern.journal.keys import bare_message_id, words
from postern.mail.tracecode import TraceCodes

MAX_QUERY_CHARS = 1_000
MAX_PASTED_CHARS = 256 * 1024
MAX_CLUES_PER_KIND = 12
DEFAULT_LIMIT = 20

Network = IPv4Network | IPv6Network


class Kind(Enum):
    """What a clue names; the values are words for people."""

    ADDRESS = "address"
    DOMAIN = "domain"
    NETWORK = "IP address"
    MESSAGE_ID = "Message-ID"
    WORD = "subject word"
    NAME = "subject word or HELO name"
    HELO = "HELO name"
    TRACE = "trace code"
    RELATED = "related conversation"
    RECIPIENT = "recipient"
    RECIPIENT_DOMAIN = "recipient's domain"


@dataclass(frozen=True, slots=True)
class Clue:
    """One thing that a conversation must have.

    ``text`` is an address, a domain, a Message-ID without brackets, a folded word or a host name;
    ``network`` is set for NETWORK, ``number`` for TRACE and RELATED.
    """

    kind: Kind
    text: str
    network: Network | None = None
    number: int = -1


@dataclass(frozen=True, slots=True)
class Query:
    """All clues must fit, within ``since`` (inclusive) and ``until`` (exclusive)."""

    clues: tuple[Clue, ...]
    text: str
    since: float | None = None
    until: float | None = None
    limit: int = DEFAULT_LIMIT

    def to(self, recipient: str) -> "Query":
        """The same with a recipient: an address, or a domain (and what lies below it)."""
        recipient = recipient.strip().strip("<>")
        if "@" in recipient.lstrip("@"):
            clue = Clue(Kind.RECIPIENT, recipient)
        else:
            clue = Clue(Kind.RECIPIENT_DOMAIN, recipient.lstrip("@").lower())
        return replace(self, clues=(*self.clues, clue))


_TRACE = re.compile(r"PT-?[0-9A-TV-Z]{4}-?[0-9A-TV-Z]{4}", re.IGNORECASE)
# Without its PT a code needs a digit, or "mail-host" would be one.
_BARE_TRACE = re.compile(r"(?=.*\d)[0-9A-TV-Z]{4}-[0-9A-TV-Z]{4}", re.IGNORECASE)
_HOST = re.compile(r"(?:[\w-]{1,63}\.)+[\w-]{2,63}\.?")
_ADDRESS = re.compile(r"<?[^\s<>@]{1,256}@(?:[\w.-]{1,255}|\[[0-9A-Fa-f.:IPv]{2,45}\])>?")

_PASTED_TRACE = re.compile(r"\bPT-[0-9A-TV-Z]{4}-[0-9A-TV-Z]{4}\b", re.IGNORECASE)
_PASTED_MESSAGE_ID = re.compile(
    r"^[> \t]*(?:Message-ID|In-Reply-To|References):[ \t]*(<[^\s<>]{3,250}>)",
    re.IGNORECASE | re.MULTILINE,
)
_PASTED_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_PASTED_V4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_PASTED_V6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])")
_POSTMAN = re.compile(r"(?:mailer-daemon|postmaster|double-bounce)@", re.IGNORECASE)


def parse_query(text: str, codes: TraceCodes | None = None) -> Query:
    """What a person may have meant by ``text``; without ``codes`` no trace code can be read.

    A prefix decides where the form does not: ``helo:``, ``subject:``, ``id:``, ``domain:``.
    A query without clues (blank text) finds nothing.
    """
    text = " ".join(text[:MAX_QUERY_CHARS].split())
    return Query(tuple(_prefixed(text) or _clues(text, codes)), text)


def parse_bounce(text: str, codes: TraceCodes | None = None) -> tuple[Query, ...]:
    """The questions a pasted bounce answers to, the surest first.

    Trace codes name the very message, Message-IDs nearly so; two addresses together are good, one
    address or a server's IP is the last resort.
    """
    text = text[:MAX_PASTED_CHARS]
    traces = [_trace(found, codes) for found in _distinct(_PASTED_TRACE.findall(text))]
    ids = [
        Clue(Kind.MESSAGE_ID, bare_message_id(found))
        for found in _distinct(_PASTED_MESSAGE_ID.findall(text))
    ]
    ids_alone = {clue.text.lower() for clue in ids}
    addresses = [
        Clue(Kind.ADDRESS, found)
        for found in _distinct(_PASTED_ADDRESS.findall(text))
        if found.lower() not in ids_alone and not _POSTMAN.match(found)
    ]
    networks = [
        Clue(Kind.NETWORK, found, network)
        for found in _distinct(_PASTED_V4.findall(text) + _PASTED_V6.findall(text))
        if (network := _network(found)) is not None and not network.is_loopback
    ]
    pairs = [
        (first, second)
        for index, first in enumerate(addresses)
        for second in addresses[index + 1 :]
        if _domain(first) != _domain(second)
    ]
    groups = [*((clue,) for clue in traces + ids), *pairs]
    groups += [(clue,) for clue in addresses + networks]
    return tuple(Query(group, " with ".join(clue.text for clue in group)) for group in groups)


def _prefixed(text: str) -> list[Clue]:
    prefix, colon, rest = text.partition(":")
    rest = rest.strip()
    if not colon or not rest:
        return []
    match prefix.lower():
        case "helo":
            return [Clue(Kind.HELO, rest.lower())]
        case "id":
            return [Clue(Kind.MESSAGE_ID, bare_message_id(rest))]
        case "domain":
            return [Clue(Kind.DOMAIN, rest.lstrip("@").rstrip(".").lower())]
        case "subject":
            return [Clue(Kind.WORD, word) for word in words(rest)]
        case _:
            return []


def _clues(text: str, codes: TraceCodes | None) -> list[Clue]:
    if _TRACE.fullmatch(text) or _BARE_TRACE.fullmatch(text):
        return [_trace(text, codes)]
    if (network := _network(text)) is not None:
        return [Clue(Kind.NETWORK, str(network), network)]
    if _ADDRESS.fullmatch(text):
        # Message-IDs look the same, so the reader asks for both.
        return [Clue(Kind.ADDRESS, text.strip("<>"))]
    if text.startswith("<") and text.endswith(">") and len(text) > 2:
        return [Clue(Kind.MESSAGE_ID, bare_message_id(text))]
    host = text.removeprefix("@").removeprefix("*.")
    if _HOST.fullmatch(host):
        return [Clue(Kind.DOMAIN, host.rstrip(".").lower())]
    if text.startswith("@") and host:
        return [Clue(Kind.DOMAIN, host.lower())]
    found = words(text)
    if " " not in text and text.isascii() and text:
        return [Clue(Kind.NAME, text.lower())]
    return [Clue(Kind.WORD, word) for word in found]


def _trace(text: str, codes: TraceCodes | None) -> Clue:
    number = codes.decode(text) if codes else None
    plain = text.upper().replace("-", "").removeprefix("PT")
    shown = f"PT-{plain[:4]}-{plain[4:]}"
    return Clue(Kind.TRACE, shown, number=-1 if number is None else number)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _domain(clue: Clue) -> str:
    return clue.text.rpartition("@")[2].lower()


def _distinct(found: list[str]) -> list[str]:
    return list({text.lower(): text for text in reversed(found)}.values())[::-1][
        :MAX_CLUES_PER_KIND
    ]
