"""What a peer offers, read from its answer to EHLO or LHLO (RFC 5321 §4.1.1.1)."""

from dataclasses import dataclass

from postern.mail.reply import Reply

_MAX_SIZE_DIGITS = 20  # RFC 1870 §4


@dataclass(frozen=True, slots=True)
class Extensions:
    """The extensions that change what we send.

    ``size``: SIZE is offered; ``size_limit_bytes`` is None where it names no limit (RFC 1870 §4).
    ``auth``: mechanisms in upper case. ``requiretls`` counts under TLS alone (RFC 8689 §2).
    """

    pipelining: bool = False
    chunking: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    size: bool = False
    size_limit_bytes: int | None = None
    auth: frozenset[str] = frozenset()
    requiretls: bool = False


NO_EXTENSIONS = Extensions()
"""What a peer offers that knows only HELO."""


def parse_extensions(reply: Reply) -> Extensions:
    """Read the lines behind the first; what is unknown or malformed is passed over."""
    offered: dict[str, list[str]] = {}
    for line in reply.lines[1:]:
        # "AUTH=PLAIN" is how servers wrote it before RFC 2554; some still say it both ways.
        keyword, *arguments = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        offered.setdefault(keyword, []).extend(arguments)
    return Extensions(
        pipelining="PIPELINING" in offered,
        chunking="CHUNKING" in offered,
        eight_bit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        dsn="DSN" in offered,
        starttls="STARTTLS" in offered,
        size="SIZE" in offered,
        size_limit_bytes=_size_limit(offered.get("SIZE", [])),
        auth=frozenset(offered.get("AUTH", [])),
        requiretls="REQUIRETLS" in offered,
    )


def _size_limit(arguments: list[str]) -> int | None:
    """The limit in octets, or None when there is none: absent, 0 or nonsense."""
    text = arguments[0] if arguments else ""
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_SIZE_DIGITS:
        return None
    return int(text) or None
