"""DKIM keys of our domains: what is kept of each, and whether its record can be seen in DNS.

A new key waits until its record is seen: a signature that nobody can verify helps no one, and mail
that only has such a one must not leave through somebody else's server. Where our DNS does not see
what the world sees, a person sets the key to work. A retired key signs no more; its record is to
stay in DNS while mail that it signed is on its way.
"""

from dataclasses import dataclass, field
from enum import Enum

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from postern.mail.dkim.key import KeyFlaw, read_key_record
from postern.mail.dkim.private import PrivateKey, read_private_key
from postern.mail.dkim.record import record_name, record_text
from postern.mail.dns import Question, Status
from postern.runtime.clock import Instant
from postern.runtime.resolver.lookup import Lookup

DEFAULT_RSA_BITS = 2048
"""RFC 8301 §3.2. The records of longer ones do not fit into many providers' forms."""
_EXPONENT = 65537


class KeyState(Enum):
    """Where a key is in its life."""

    WAITING = "waiting"  # its record was not seen yet
    ACTIVE = "active"  # it signs
    RETIRED = "retired"  # it signs no more


class Published(Enum):
    """What DNS says of a key's record."""

    YES = "yes"
    NO = "no"  # there is none
    OTHER = "other"  # there is one, of another key
    COULDNT_TELL = "couldnt-tell"


@dataclass(frozen=True, slots=True)
class DkimKey:
    """One key of one domain. ``pem``: the private half; ``since``: it is in this state."""

    id: str
    domain: str
    selector: str
    kind: str
    bits: int
    state: KeyState
    created_at: Instant
    since: Instant
    pem: bytes = field(repr=False)

    @property
    def record_name(self) -> str:
        """Where its record belongs, without a final dot."""
        return record_name(self.selector, self.domain)

    @property
    def record_text(self) -> str:
        """What the record says."""
        return record_text(self.private())

    def private(self) -> PrivateKey:
        """The key itself; costs some ten microseconds.

        Raises:
            ValueError: what is kept is damaged.
        """
        key = read_private_key(self.pem, is_checked=True)
        if isinstance(key, KeyFlaw):
            raise ValueError(f"DKIM key {self.selector} of {self.domain}: {key.text}")  # noqa: TRY004 - damage
        return key


def new_rsa_key(bits: int = DEFAULT_RSA_BITS) -> bytes:
    """A fresh RSA key in PEM; takes a tenth of a second and more."""
    return _pem(rsa.generate_private_key(_EXPONENT, bits))


def new_ed25519_key() -> bytes:
    """A fresh Ed25519 key in PEM."""
    return _pem(ed25519.Ed25519PrivateKey.generate())


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def look_up(lookup: Lookup, key: DkimKey) -> Published:
    """Whether the record that DNS has is the one of this key (RFC 6376 §3.6.2)."""
    answer = await lookup.ask(Question(key.record_name, "TXT"))
    if answer.is_negative:
        return Published.NO
    if answer.status is not Status.OK:
        return Published.COULDNT_TELL
    ours = key.private()
    is_there = any(_is_of(ours, text) for text in answer.records)
    return Published.YES if is_there else Published.OTHER


def _is_of(ours: PrivateKey, text: str) -> bool:
    record = read_key_record(text)
    if isinstance(record, KeyFlaw) or record.key is None:
        return False
    return record.key.octets() == ours.public_octets()
