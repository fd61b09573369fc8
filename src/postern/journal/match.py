"""Whether a conversation fits a query: the last word after the index, and all of it elsewhere.

Mail that still waits in the spool has no index; whoever holds it asks here.
"""

from ipaddress import ip_address, ip_network

from postern.journal.keys import (
    addresses_of,
    bare_message_id,
    ip_bytes,
    recipients_of,
    reversed_host,
    words,
)
from postern.journal.query import Clue, Kind, Network, Query
from postern.journal.record import Conversation


def matches(query: Query, conversation: Conversation) -> bool:
    """Whether ``conversation`` fits every clue and the time of ``query``."""
    if query.since is not None and conversation.at < query.since:
        return False
    if query.until is not None and conversation.at >= query.until:
        return False
    return bool(query.clues) and all(_fits(clue, conversation) for clue in query.clues)


def _fits(clue: Clue, c: Conversation) -> bool:
    match clue.kind:
        case Kind.TRACE:
            return c.id == clue.number
        case Kind.RELATED:
            return clue.number in c.related
        case Kind.NETWORK:
            return _in_network(clue, c)
        case Kind.WORD:
            return _has_word(clue.text, c.subject)
        case Kind.NAME:
            return _has_words(clue.text, c.subject) or _is_host(clue.text, c.helo)
        case Kind.HELO:
            return _is_host(clue.text, c.helo)
        case Kind.MESSAGE_ID:
            return _has_message_id(clue.text, c)
        case _:
            return _fits_address(clue, c)


def _fits_address(clue: Clue, c: Conversation) -> bool:
    match clue.kind:
        case Kind.ADDRESS:
            return _among(clue.text, addresses_of(c)) or _has_message_id(clue.text, c)
        case Kind.RECIPIENT:
            return _among(clue.text, recipients_of(c))
        case Kind.RECIPIENT_DOMAIN:
            return _any_within(clue.text, recipients_of(c))
        case _:
            return (
                _any_within(clue.text, addresses_of(c))
                or _is_within(clue.text, c.helo)
                or any(_is_within(clue.text, attempt.mx) for attempt in c.attempts)
            )


def _among(address: str, addresses: list[str]) -> bool:
    wanted = _folded(address)
    return any(_folded(other) == wanted for other in addresses)


def _folded(address: str) -> tuple[str, str]:
    local, _, domain = address.rpartition("@")
    return local.casefold(), reversed_host(domain)


def _any_within(domain: str, addresses: list[str]) -> bool:
    return any(_is_within(domain, address.rpartition("@")[2]) for address in addresses)


def _is_within(domain: str, host: str) -> bool:
    """Whether ``host`` is ``domain`` or lies below it."""
    above, below = reversed_host(domain), reversed_host(host)
    return below == above or below.startswith(above + ".")


def _is_host(name: str, host: str) -> bool:
    return bool(host) and reversed_host(name) == reversed_host(host)


def _has_word(word: str, subject: str) -> bool:
    found = words(subject)
    # A single ideograph fits the pairs that begin with it, as in the index.
    return word in found or (len(word) == 1 and any(other.startswith(word) for other in found))


def _has_words(text: str, subject: str) -> bool:
    wanted = words(text)
    return bool(wanted) and set(wanted) <= set(words(subject))


def _has_message_id(message_id: str, c: Conversation) -> bool:
    return bool(c.message_id) and bare_message_id(c.message_id) == message_id


def _in_network(clue: Clue, c: Conversation) -> bool:
    addresses = [c.client_ip, *(attempt.address for attempt in c.attempts)]
    return clue.network is not None and any(_is_in(clue.network, each) for each in addresses)


def _is_in(network: Network, address: str) -> bool:
    if not ip_bytes(address):
        return False
    parsed = ip_address(address.strip("[]"))
    return parsed.version == network.version and parsed in network


def around(address: str) -> Network | None:
    """The neighbourhood of an address: its /24, or /48 of IPv6."""
    if not ip_bytes(address):
        return None
    parsed = ip_address(address.strip("[]"))
    return ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False)
