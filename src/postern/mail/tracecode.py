"""Trace codes: ``PT-7Q2M-K4XD``, unique by construction and readable over the telephone.

A code is 40 bits in Crockford's base 32 (no I, L, O, U). The number behind it is 4 bits of node
and a 36-bit counter; a keyed permutation (a Feistel network, so never two counters with one code)
keeps neighbours from being guessed by who only sees codes. It is no cipher: a link that shows
anything carries a secret of its own.
"""

from hashlib import blake2b

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HALF_BITS = 20
_HALF_MASK = (1 << _HALF_BITS) - 1
_ROUNDS = 6
_WORD_MASK = (1 << 64) - 1
_SHIFT = 40
"""A 20-bit half times a 64-bit factor has 84 bits; bits 40-59 depend on all of both."""
_VALUES = {c: i for i, c in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]

COUNTER_BITS = 36
MAX_ID = (1 << 40) - 1


def message_id(node: int, counter: int) -> int:
    """The 40-bit number of a transaction: node 0-15 above a 36-bit counter."""
    return (node & 0xF) << COUNTER_BITS | counter & ((1 << COUNTER_BITS) - 1)


class TraceCodes:
    """Turns numbers into codes and back, under one key (16 bytes or more, kept in ``site.db``)."""

    def __init__(self, key: bytes) -> None:
        # Each round multiplies by a secret odd number and keeps the middle bits, which depend on
        # all of its input. Hashing each half was tried: 9 us a message for nothing more.
        digests = [blake2b(key=key[:64], digest_size=16, salt=bytes([r])) for r in range(_ROUNDS)]
        words = [digest.digest() for digest in digests]
        self._rounds = [
            (int.from_bytes(word[:8]) | 1, int.from_bytes(word[8:]) & _WORD_MASK) for word in words
        ]

    def encode(self, number: int) -> str:
        """The code of a 40-bit number."""
        left, right = number >> _HALF_BITS, number & _HALF_MASK
        for factor, offset in self._rounds:
            left, right = right, left ^ ((right * factor + offset) >> _SHIFT & _HALF_MASK)
        mixed = left << _HALF_BITS | right
        pairs = _PAIRS
        return (
            f"PT-{pairs[mixed >> 30]}{pairs[mixed >> 20 & 1023]}"
            f"-{pairs[mixed >> 10 & 1023]}{pairs[mixed & 1023]}"
        )

    def decode(self, code: str) -> int | None:
        """The number behind a code, or None when ``code`` is not one.

        Case, hyphens, blanks and the ``PT`` in front do not matter; O is read as 0, I and L as 1.
        """
        plain = code.strip().upper().replace("-", "").replace(" ", "")
        plain = plain.removeprefix("PT") if len(plain) == 10 else plain
        if len(plain) != 8 or any(c not in _VALUES for c in plain):
            return None
        mixed = 0
        for c in plain:
            mixed = mixed << 5 | _VALUES[c]
        left, right = mixed >> _HALF_BITS, mixed & _HALF_MASK
        for factor, offset in reversed(self._rounds):
            left, right = right ^ ((left * factor + offset) >> _SHIFT & _HALF_MASK), left
        return left << _HALF_BITS | right
