"""What a server's certificates say, and whether they lead to somebody who is trusted.

For trust anchors that OpenSSL cannot be told of before a handshake: those of DANE, of which only a
digest is known until the server shows them (RFC 7671 §5.2). Ordinary authorities are OpenSSL's own
business.

Strict where it matters and bounded throughout: what a certificate limits itself to in a way that is
not understood here (a critical extension) is not trusted.

Source: RFC 5280 §4.2, §6.1; RFC 6125 §6.4 (names).
"""

import ssl
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from postern.mail.tlsrpt import TlsResult

MAX_CHAIN = 10
"""Certificates of one server that are looked at."""
MAX_CERTIFICATE_BYTES = 65_536
_DER = 2
"""``_ssl.ENCODING_DER``."""
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)
_UNREADABLE = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_NOT_ISSUED = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Distrust:
    """Why a certificate is not what must be there: for reports, and to follow a host's name."""

    result: TlsResult
    words: str


NO_CERTIFICATE = Distrust(TlsResult.CERTIFICATE_NOT_TRUSTED, "showed no certificate we can read")
NOT_VALID_NOW = Distrust(
    TlsResult.CERTIFICATE_EXPIRED, "has a certificate that is out of date, or not yet valid"
)


def chain_of(session: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates the server showed, its own first, each in DER; nothing of them is verified.

    Until Python 3.13 only a private object of ``ssl`` knows them; asyncio and uvloop both use it.
    """
    if sys.version_info >= (3, 13):
        return tuple(session.get_unverified_chain() or ())[:MAX_CHAIN]
    shown = cast("Any", session)._sslobj.get_unverified_chain()  # noqa: SLF001 - see above
    return tuple(one.public_bytes(_DER) for one in (shown or ())[:MAX_CHAIN])


def load(der: bytes) -> x509.Certificate | None:
    """The certificate, or None where it cannot be read."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        # Looked at now, for much of it is only parsed when it is: who has it then may rely on it.
        _ = (
            certificate.version,
            certificate.subject,
            certificate.issuer,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
    except (ValueError, TypeError, x509.InvalidVersion):
        return None
    return certificate


def public_key_der(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo in a certificate, octet by octet as it stands there.

    Not encoded anew: a digest was made over these octets (RFC 6698 §2.1.2).

    Raises:
        ValueError: it is no certificate.
    """
    inner, _ = _content(certificate, _content(certificate, 0)[0])
    at = inner
    if certificate[at : at + 1] == b"\xa0":  # [0] version
        at = _content(certificate, at)[1]
    for _ in range(5):  # serial, signature, issuer, validity, subject
        at = _content(certificate, at)[1]
    return certificate[at : _content(certificate, at)[1]]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at ``at`` begins, and where it ends (X.690 §8.1)."""
    if at + 2 > len(der):
        raise ValueError("cut short")
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 0 < octets <= 4:
            raise ValueError("a length that DER does not have")
        length = int.from_bytes(der[begin : begin + octets])
        begin += octets
    if begin + length > len(der):
        raise ValueError("cut short")
    return begin, begin + length


@dataclass(frozen=True, slots=True)
class Anchors:
    """Whom to trust: certificates, found by the name that issued, and bare keys (DER)."""

    issuers: Callable[[x509.Name], Iterable[x509.Certificate]]
    keys: tuple[bytes, ...] = ()


def path_flaw(
    chain: Sequence[x509.Certificate], anchors: Anchors, now: datetime
) -> Distrust | None:
    """None when ``chain[0]``, a server's, leads to one of ``anchors`` through the rest of it.

    Each certificate is passed once, whatever circles they make.
    """
    leaf = chain[0]
    flaw = _leaf_flaw(leaf)
    if flaw is not None:
        return flaw
    if not _is_valid(leaf, now):
        return NOT_VALID_NOW
    frontier, left, is_late = [leaf], list(chain[1:]), False
    for depth in range(len(chain)):
        for certificate in frontier:
            ends = _anchors_above(certificate, anchors)
            if any(_is_valid(end, now) for end in ends) or _is_signed(certificate, anchors.keys):
                return None
            is_late = is_late or bool(ends)
        above = [one for one in left if any(_is_issued(below, one) for below in frontier)]
        left = [one for one in left if one not in above]
        may_issue = [one for one in above if _may_issue(one, depth)]
        frontier = [one for one in may_issue if _is_valid(one, now)]
        is_late = is_late or len(frontier) < len(may_issue)
    if is_late:
        return NOT_VALID_NOW
    words = "has a certificate from nobody who is trusted"
    return Distrust(TlsResult.CERTIFICATE_NOT_TRUSTED, words)


def name_flaw(
    certificate: x509.Certificate, names: Sequence[str], *, or_common: bool = False
) -> Distrust | None:
    """None when the certificate is for one of ``names`` (lower-case).

    ``or_common``: without DNS names its last common name counts, as RFC 7672 §3.2.2 has it for
    trust anchors and RFC 8461 §4.1 does not.
    """
    own = _names_in(certificate, or_common=or_common)
    if any(_matches(pattern, name) for pattern in own for name in names):
        return None
    words = f"has a certificate for {_few(own) or 'no name'}, not for {_few(names)}"
    return Distrust(TlsResult.CERTIFICATE_HOST_MISMATCH, words)


def _names_in(certificate: x509.Certificate, *, or_common: bool) -> tuple[str, ...]:
    """Its DNS names; without any, and where that counts, the last common name."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    except _UNREADABLE:
        return ()
    if not names and or_common:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = [str(attribute.value) for attribute in common[-1:]]
    return tuple(name.lower().rstrip(".") for name in names)


def _matches(pattern: str, name: str) -> bool:
    """A wildcard is a whole label, the first (RFC 7672 §3.2.3)."""
    if pattern.startswith("*."):
        _, dot, parent = name.partition(".")
        return bool(dot) and "." in parent and pattern[2:] == parent
    return pattern == name


def _few(names: Sequence[str]) -> str:
    """Names in one sentence; what a stranger wrote is cut, and without controls."""
    shown = [
        "".join(char if char.isprintable() else "?" for char in name)[:100] for name in names[:3]
    ]
    return ", ".join(shown) + (" and more" if len(names) > 3 else "")


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _leaf_flaw(leaf: x509.Certificate) -> Distrust | None:
    """None for a certificate that a server may show."""
    try:
        extensions = leaf.extensions
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    except _UNREADABLE:
        return NO_CERTIFICATE
    if _has_unknown_limits(leaf.extensions):
        return NO_CERTIFICATE
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usage is not None and allowed.isdisjoint(usage):
        words = "has a certificate that is not for servers"
        return Distrust(TlsResult.CERTIFICATE_NOT_TRUSTED, words)
    return None


def _has_unknown_limits(extensions: x509.Extensions) -> bool:
    return any(one.critical and one.oid not in _UNDERSTOOD for one in extensions)


def _may_issue(certificate: x509.Certificate, below: int) -> bool:
    """Whether it is an authority's, which may stand above ``below`` other authorities."""
    try:
        extensions = certificate.extensions
        limits = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    except _UNREADABLE:
        return False
    if not limits.ca or (limits.path_length is not None and limits.path_length < below):
        return False
    return _may_sign_certificates(extensions) and not _has_unknown_limits(extensions)


def _may_sign_certificates(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _may_be_anchor(certificate: x509.Certificate) -> bool:
    """Old roots have no extensions at all; one that says it is no authority is none."""
    try:
        extensions = certificate.extensions
        limits = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject
    except _UNREADABLE:
        return False
    return limits.ca and _may_sign_certificates(extensions)


def _anchors_above(certificate: x509.Certificate, anchors: Anchors) -> list[x509.Certificate]:
    """The trusted authorities that issued ``certificate``."""
    return [
        one
        for one in anchors.issuers(certificate.issuer)
        if _may_be_anchor(one) and _is_issued(certificate, one)
    ]


def _is_issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    if certificate.issuer != by.subject:
        return False
    try:
        certificate.verify_directly_issued_by(by)
    except _NOT_ISSUED:
        return False
    return True


def _is_signed(certificate: x509.Certificate, keys: Iterable[bytes]) -> bool:
    """Whether one of ``keys`` signed it: an anchor of which only the key is known."""
    return any(_is_signed_with(certificate, key) for key in keys)


def _is_signed_with(certificate: x509.Certificate, der: bytes) -> bool:
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        algorithm = certificate.signature_hash_algorithm
        key = load_der_public_key(der)
        if isinstance(key, rsa.RSAPublicKey) and isinstance(algorithm, hashes.HashAlgorithm):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except _NOT_ISSUED:
        return False
    return True
