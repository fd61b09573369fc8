"""Row ids that need no agreement between nodes: time first, then chance (the ULID layout)."""

import secrets

from postern.mail.tracecode import ALPHABET
from postern.runtime.clock import Clock

_RANDOM_BITS = 80


def new_id(clock: Clock) -> str:
    """26 characters that sort by the millisecond they were made in, and never meet again."""
    number = int(clock.now() * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
