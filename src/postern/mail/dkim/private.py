"""Private keys: read once, used for every message. Reading one costs some 150 signatures.

Source: RFC 8301 §3.2 (sizes), RFC 8463 §3.
"""

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from postern.mail.dkim.key import MAX_RSA_BITS, MIN_RSA_BITS, KeyFlaw

RECOMMENDED_RSA_BITS = 2048
"""RFC 8301 §3.2: what signers should use at least."""

_PREHASHED = Prehashed(SHA256())
_PADDING = PKCS1v15()


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs: ``kind`` is ``rsa`` or ``ed25519``."""

    kind: str
    bits: int
    handle: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The a= of its signatures."""
        return f"{self.kind}-sha256"

    @property
    def is_short(self) -> bool:
        """True when it is valid, but shorter than what is recommended."""
        return self.kind == "rsa" and self.bits < RECOMMENDED_RSA_BITS

    def sign(self, digest: bytes) -> bytes:
        """A signature over a SHA-256 digest."""
        if isinstance(self.handle, RSAPrivateKey):
            return self.handle.sign(digest, _PADDING, _PREHASHED)
        return self.handle.sign(digest)

    def public_octets(self) -> bytes:
        """What its key record's p= holds, before base64."""
        public = self.handle.public_key()
        if isinstance(self.handle, RSAPrivateKey):
            return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def read_private_key(pem: bytes, *, is_checked: bool = False) -> PrivateKey | KeyFlaw:
    """An RSA or Ed25519 key in PEM, PKCS #8 or what OpenSSL calls traditional, not encrypted.

    Args:
        pem: the text.
        is_checked: it went through this before, so that its numbers need no second proof: that
            takes as long as a hundred signatures.
    """
    try:
        key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=is_checked)
    except TypeError:
        return KeyFlaw("the private key is encrypted")
    except (ValueError, UnsupportedAlgorithm):
        return KeyFlaw("it is not a private key in PEM format")
    if isinstance(key, Ed25519PrivateKey):
        return PrivateKey("ed25519", 256, key)
    if not isinstance(key, RSAPrivateKey):
        return KeyFlaw("it is neither an RSA nor an Ed25519 key")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return KeyFlaw(
            f"it has {key.key_size} bits; an RSA key needs {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )
    return PrivateKey("rsa", key.key_size, key)
