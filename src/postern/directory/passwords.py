"""Passwords: prepared as RFC 8265 says, hashed with argon2id, verified in the same time for all.

Preparation is the OpaqueString profile of RFC 8265 §4.2, which replaced SASLprep: spaces of other
scripts become the ASCII space, the result is NFC. SASLprep's NFKC was not taken: it makes
different passwords equal (``①`` and ``1``).
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_PASSWORD_BYTES = 1_024

# OWASP's parameters: 19 MiB, two passes, one lane. argon2-cffi's own default costs nine times the
# processor time, which a phone asking every few minutes for hundreds of mailboxes would spend.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

DUMMY_HASH = _HASHER.hash("nobody has this password")
"""Verified in place of a hash that is not there, so that time does not tell who exists."""


def prepare(password: str) -> str | None:
    """The one spelling of a password; None when it is empty, too long, or holds controls."""
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    prepared = unicodedata.normalize("NFC", spaced)
    if not prepared or any(unicodedata.category(c) in {"Cc", "Cs"} for c in prepared):
        return None
    return prepared if len(prepared.encode()) <= MAX_PASSWORD_BYTES else None


def hash_password(password: str) -> str | None:
    """The hash to keep, with its parameters inside; None when ``prepare`` refuses. Takes 25 ms."""
    prepared = prepare(password)
    return None if prepared is None else _HASHER.hash(prepared)


def verify(password_hash: str, prepared: str) -> bool:
    """Whether ``prepared`` is the password behind the hash; a hash that cannot be read never is."""
    try:
        return _HASHER.verify(password_hash, prepared)
    except (VerificationError, InvalidHashError):
        return False
