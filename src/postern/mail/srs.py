"""Return addresses of forwarded mail, rewritten so that the forwarder's own SPF speaks for them.

``li@tea.example``, forwarded by ``harbour.example``, leaves as
``SRS0=k3v7q2m=4X=tea.example=li@harbour.example``. Whoever returns it writes to us, and the address
that is in it gets it. The first word proves that we made it, the second says on what day; so nobody
can send mail through us to an address of his choice, and an old one is of no use.

What was rewritten by a forwarder before us is not wrapped again but taken over (``SRS1``): it names
that forwarder, and its bounce goes straight there.

Source: the Sender Rewriting Scheme as libsrs2 and postsrsd have it
(https://www.libsrs2.net/srs/srs.pdf). Case does not count in what we check, for some servers fold
it; hashes are in base32 for that reason.
"""

import hmac
from base64 import b32encode
from dataclasses import dataclass

from postern.mail.address import MAX_LOCAL_BYTES, MAX_MAILBOX_BYTES, Address, to_a_labels

MAX_AGE_DAYS = 21
"""Mail is tried for five days, here and at each server behind us, and a bounce as long again."""

_HASH_CHARS = 8
_DAYS = 1024
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SEPARATORS = "=+-"


@dataclass(frozen=True, slots=True)
class SrsFlaw:
    """Why an address is no return address of ours: one plain clause without a full stop."""

    text: str


def is_srs(local: str) -> bool:
    """Whether a local part looks like a rewritten one."""
    return local[:4].upper() in {"SRS0", "SRS1"} and local[4:5] in set(_SEPARATORS)


class Srs:
    """Rewrites and reads return addresses.

    Args:
        key: the site's secret.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def rewrite(self, sender: Address, domain: str, day: int) -> Address:
        """The return address for mail of ``sender`` that ``domain`` forwards.

        Args:
            sender: of the envelope.
            domain: ours, in A-labels.
            day: days since 1970.

        Returns:
            ``sender`` itself where the new address would be longer than addresses may be.
        """
        local = self._again(sender) if is_srs(sender.local) else None
        if local is None:
            stamp = _stamp(day)
            rest = f"{sender.domain}={sender.local}"
            local = f"SRS0={self._hash(stamp, rest)}={stamp}={rest}"
        made = Address(local, domain)
        fits = len(local.encode()) <= MAX_LOCAL_BYTES
        fits = fits and len(str(made).encode()) <= MAX_MAILBOX_BYTES
        return made if fits and not sender.is_literal else sender

    def _again(self, sender: Address) -> str | None:
        """Of what another forwarder rewrote; None where it only looks so."""
        inner = sender.local[4:]
        if sender.local[:4].upper() == "SRS0":
            host, tail = sender.domain, inner
        else:
            # SRS1=hash=host==tail: the hash is the last forwarder's, the rest stays.
            _, _, named = inner[1:].partition("=")
            host, separator, tail = named.partition("=")
            if not separator or to_a_labels(host) is None:
                return None
        rest = f"{host}={tail}"
        return f"SRS1={self._hash('', rest)}={rest}"

    def read(self, local: str, day: int) -> Address | SrsFlaw:
        """Whom a return address of ours leads to.

        Args:
            local: its local part, for which ``is_srs`` holds.
            day: days since 1970.
        """
        code, _, rest = local[5:].partition("=")
        if local[:4].upper() == "SRS1":
            host, _, tail = rest.partition("=")
            if not self._is_ours(code, "", rest) or to_a_labels(host) is None:
                return SrsFlaw("it was not made here")
            return Address(f"SRS0{tail}", host.lower())
        stamp, _, rest = rest.partition("=")
        name, separator, original = rest.partition("=")
        domain = to_a_labels(name)
        if not self._is_ours(code, stamp.upper(), rest) or domain is None or not separator:
            return SrsFlaw("it was not made here")
        if not original or _age_days(stamp, day) > MAX_AGE_DAYS:
            return SrsFlaw(f"it is older than {MAX_AGE_DAYS} days")
        return Address(original, domain)

    def _is_ours(self, code: str, stamp: str, rest: str) -> bool:
        return hmac.compare_digest(code.upper().encode(), self._hash(stamp, rest).encode())

    def _hash(self, stamp: str, rest: str) -> str:
        digest = hmac.digest(self._key, f"{stamp}={rest}".lower().encode(), "sha256")
        return b32encode(digest)[:_HASH_CHARS].decode()


def _stamp(day: int) -> str:
    number = day % _DAYS
    return _ALPHABET[number >> 5] + _ALPHABET[number & 31]


def _age_days(stamp: str, day: int) -> int:
    """How many days ago a stamp was made, counted round after 1,024; that many when unreadable."""
    digits = [_ALPHABET.find(character) for character in stamp.upper()]
    if len(digits) != 2 or min(digits) < 0:
        return _DAYS
    return (day - (digits[0] << 5 | digits[1])) % _DAYS
