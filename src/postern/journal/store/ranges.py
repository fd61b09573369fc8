"""Which ranges of the index a clue asks for."""

from postern.journal.keys import (
    address_key,
    host_key,
    ip_bytes,
    message_id_key,
    related_key,
    word_key,
    words,
)
from postern.journal.query import Clue, Kind, Network
from postern.journal.store.index import KeyRange, exactly, starting_with


def ranges_of(clue: Clue) -> tuple[KeyRange, ...]:
    """Ranges any of which holds what fits ``clue``; empty when the index cannot tell.

    What lies in them need not fit: the last word is ``postern.journal.match``'s.
    """
    match clue.kind:
        case Kind.ADDRESS:
            return exactly(address_key(clue.text)), exactly(message_id_key(clue.text))
        case Kind.RECIPIENT:
            return (exactly(address_key(clue.text)),)
        case Kind.DOMAIN:
            return (*_domain("a", clue.text), *_host("h", clue.text), *_host("x", clue.text))
        case Kind.RECIPIENT_DOMAIN:
            return _domain("a", clue.text)
        case Kind.MESSAGE_ID:
            return (exactly(message_id_key(clue.text)),)
        case _:
            return _other(clue)


def is_narrow(clue: Clue) -> bool:
    """Whether few entries are to be expected: such clues are looked up first."""
    return clue.kind in {Kind.ADDRESS, Kind.RECIPIENT, Kind.MESSAGE_ID, Kind.HELO, Kind.RELATED}


def _other(clue: Clue) -> tuple[KeyRange, ...]:
    match clue.kind:
        case Kind.WORD:
            # A single ideograph is not a pair: take the pairs that begin with it, and the word.
            one = len(clue.text) == 1
            return (starting_with(word_key(clue.text)) if one else exactly(word_key(clue.text)),)
        case Kind.NAME:
            found = words(clue.text)
            word = (exactly(word_key(found[0])),) if found else ()
            return (*word, exactly(host_key("h", clue.text)))
        case Kind.HELO:
            return (exactly(host_key("h", clue.text)),)
        case Kind.RELATED:
            return (exactly(related_key(clue.number)),)
        case Kind.NETWORK if clue.network is not None:
            return (_network(b"i", clue.network), _network(b"p", clue.network))
        case _:
            return ()


def _domain(letter: str, domain: str) -> tuple[KeyRange, ...]:
    stem = host_key(letter, domain)
    return starting_with(stem + b"@"), starting_with(stem + b".")


def _host(letter: str, name: str) -> tuple[KeyRange, ...]:
    key = host_key(letter, name)
    return exactly(key), starting_with(key + b".")


def _network(letter: bytes, network: Network) -> KeyRange:
    low, high = (ip_bytes(str(end)) for end in (network[0], network[-1]))
    # Up to and including the last address: its entries go on with a zero byte.
    return KeyRange(letter + low, letter + high + b"\1")
