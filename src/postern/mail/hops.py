"""Marks on mail that left through a relay of ours, so that it is not given to that relay again.

``X-Postern-Hop: us1; PT-7Q2M-K4XD; 6b1f…``: the relay's name here, the trace code it left under,
and an HMAC of both. Only whoever has the key can make one, so a mark that holds is our own: the
mail has been through that relay, and came back. What holds no longer, or is another server's, says
nothing. A chain of relays that point at each other ends so, for no server uses one of them twice
for the same mail; Received fields are counted as well.
"""

import hmac
from collections.abc import Iterable
from hashlib import sha256

NAME = b"x-postern-hop"
MAX_MARKS = 20
"""Marks of one message that are looked at."""
_MAC_CHARS = 32


def hop_field(key: bytes, relay: str, trace: str) -> bytes:
    """The header field, with its line's end, for mail that leaves through ``relay`` now."""
    name = _one_word(relay)
    return b"X-Postern-Hop: %s; %s; %s\r\n" % (
        name.encode(),
        trace.encode(),
        _mac(key, name, trace).encode(),
    )


def relays_of(values: Iterable[bytes], key: bytes) -> tuple[str, ...]:
    """The relays that marks under ``key`` name; ``values`` are the fields' bodies, as they came."""
    found: dict[str, None] = {}
    for number, value in enumerate(values):
        if number >= MAX_MARKS:
            break
        parts = value.decode("ascii", "replace").split(";")
        if len(parts) != 3:
            continue
        name, trace, mac = (part.strip() for part in parts)
        if hmac.compare_digest(_mac(key, name, trace).encode(), mac.encode()):
            found[name] = None
    return tuple(found)


def has_passed(relay: str, relays: Iterable[str]) -> bool:
    """Whether mail with marks of these relays has been through ``relay``."""
    return _one_word(relay) in relays


def _one_word(relay: str) -> str:
    """The name as a header field can carry it: percent signs for what is not plain."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "%" for c in relay)


def _mac(key: bytes, name: str, trace: str) -> str:
    text = f"postern hop\0{name}\0{trace}".encode("utf-8", "replace")
    return hmac.new(key, text, sha256).hexdigest()[:_MAC_CHARS]
