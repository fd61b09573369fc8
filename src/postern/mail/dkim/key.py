"""Key records: the TXT records below ``_domainkey`` that signatures are verified with.

A parsed record is kept: reading a key costs many times what a signature costs, and a few big
senders' keys verify most mail.

Source: RFC 6376 §3.6.1, RFC 8301 §3.2 (sizes), RFC 8463 §4 (Ed25519).
"""

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from postern.mail.dkim.result import Cause, DkimResult, Flaw
from postern.mail.dkim.tags import TagFlaw, read_base64, read_tags, without_blanks

MIN_RSA_BITS = 1024
"""RFC 8301 §3.2: signatures by shorter keys must not be taken as valid."""
MAX_RSA_BITS = 4096
"""RFC 8301 §3.2: longer keys may be refused; they cost much and are hardly seen."""

_MAX_RECORD_CHARS = 4096
_MAX_EXPONENT_BITS = 32  # a huge public exponent makes each verification as dear as a signature
_ED25519_OCTETS = 32
_PREHASHED = Prehashed(SHA256())
_PADDING = PKCS1v15()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies: ``kind`` is ``rsa`` or ``ed25519``."""

    kind: str
    bits: int
    handle: RSAPublicKey | Ed25519PublicKey

    def octets(self) -> bytes:
        """What p= holds of it, before base64, in the one form that we write."""
        if isinstance(self.handle, RSAPublicKey):
            return self.handle.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.handle.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """True when ``signature`` was made over this SHA-256 digest (RFC 8463 §3)."""
        try:
            if isinstance(self.handle, RSAPublicKey):
                self.handle.verify(signature, digest, _PADDING, _PREHASHED)
            else:
                self.handle.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key record.

    ``key`` is None once it was revoked. ``hashes`` is None when any will do. ``strict``: the
    signature's i= must name the very domain of d= (t=s). ``testing``: t=y.
    """

    kind: str
    key: PublicKey | None
    hashes: tuple[bytes, ...] | None = None
    services: tuple[bytes, ...] = (b"*",)
    strict: bool = False
    testing: bool = False


@dataclass(frozen=True, slots=True)
class KeyFlaw:
    """Why a record or a key is of no use: one plain clause without a full stop."""

    text: str


@lru_cache(maxsize=1024)
def read_key_record(text: str) -> KeyRecord | KeyFlaw:
    """A TXT record, each octet one Latin-1 character as ``postern.mail.dns.Answer`` has it."""
    if len(text) > _MAX_RECORD_CHARS:
        return KeyFlaw(f"it is longer than {_MAX_RECORD_CHARS} octets")
    tags = read_tags(text.encode("latin-1", "replace"))
    if isinstance(tags, TagFlaw):
        return KeyFlaw(tags.text)
    if b"v" in tags and (next(iter(tags)) != b"v" or tags[b"v"] != b"DKIM1"):
        return KeyFlaw("its v= is not DKIM1, in the first place")
    if b"p" not in tags:
        return KeyFlaw("it has no p=")
    kind = tags.get(b"k", b"rsa").decode("ascii", "replace")
    key = read_public_key(kind, tags[b"p"]) if tags[b"p"] else None
    if isinstance(key, KeyFlaw):
        return key
    flags = _listed(tags.get(b"t", b""))
    return KeyRecord(
        kind,
        key,
        _listed(tags[b"h"]) if b"h" in tags else None,
        _listed(tags[b"s"]) if b"s" in tags else (b"*",),
        strict=b"s" in flags,
        testing=b"y" in flags,
    )


def read_public_key(kind: str, value: bytes) -> PublicKey | KeyFlaw:
    """The key of a p= tag: for RSA a DER SubjectPublicKeyInfo (or RSAPublicKey), else 32 octets."""
    octets = read_base64(value)
    if octets is None:
        return KeyFlaw("its p= is not base64")
    if kind == "rsa":
        return _rsa_key(octets)
    if kind == "ed25519":
        if len(octets) != _ED25519_OCTETS:
            return KeyFlaw(f"its p= is not an Ed25519 key of {_ED25519_OCTETS} octets")
        return PublicKey("ed25519", 256, Ed25519PublicKey.from_public_bytes(octets))
    return KeyFlaw("its k= is a kind of key that is not known here")


def usability_flaw(record: KeyRecord, kind: str, *, domain: str, identity: str = "") -> Flaw | None:
    """Why this key does not do for this signature, or None when it does (RFC 6376 §6.1.2).

    Args:
        record: the key's.
        kind: what the signature's algorithm needs.
        domain: the signature's d=.
        identity: its i=; empty where there is none (ARC).
    """
    if record.kind != kind:
        return _not_for_this(f"the key is not of the kind that the signature needs, {kind}")
    if record.hashes is not None and b"sha256" not in record.hashes:
        return _not_for_this("the key may not be used with SHA-256")
    if b"*" not in record.services and b"email" not in record.services:
        return _not_for_this("the key is not for mail")
    if record.strict and identity and identity.rpartition("@")[2] != domain:
        return _not_for_this("the key may not be used for subdomains, and the i= names one")
    if record.key is None:
        return Flaw(DkimResult.PERMERROR, Cause.KEY_REVOKED, "the key was revoked")
    if record.kind == "rsa" and record.key.bits < MIN_RSA_BITS:
        text = f"the key has only {record.key.bits} bits, {MIN_RSA_BITS} are needed"
        return Flaw(DkimResult.POLICY, Cause.KEY_TOO_SMALL, text)
    if record.key.bits > MAX_RSA_BITS:
        text = f"the key has {record.key.bits} bits, more than {MAX_RSA_BITS} are not looked at"
        return Flaw(DkimResult.POLICY, Cause.KEY_TOO_LARGE, text)
    return None


def _rsa_key(octets: bytes) -> PublicKey | KeyFlaw:
    try:
        key = load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return KeyFlaw("its p= is not an RSA key")
    if not isinstance(key, RSAPublicKey):
        return KeyFlaw("its p= is not an RSA key")
    if key.public_numbers().e.bit_length() > _MAX_EXPONENT_BITS:
        return KeyFlaw("its RSA key has an exponent beyond all use")
    return PublicKey("rsa", key.key_size, key)


def _listed(value: bytes) -> tuple[bytes, ...]:
    """The entries of a list with colons."""
    return tuple(without_blanks(value).split(b":"))


def _not_for_this(text: str) -> Flaw:
    return Flaw(DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS, text)
