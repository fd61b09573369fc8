"""Certificates made on the spot: an authority, and server certificates it signed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority that lives in ``folder``; ``ca.pem`` is what clients trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Test authority")
        self._certificate = (
            _builder(name, name, self._key.public_key(), timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *names: str,
        valid: timedelta = timedelta(days=7),
        begins: timedelta = timedelta(0),
        alternatives: tuple[str, ...] | None = None,
    ) -> KeyPair:
        """A certificate for ``names`` (DNS names or addresses); expired if ``valid`` is negative.

        Args:
            names: the first also names the files.
            valid: how long from its beginning it holds.
            begins: how far from now it begins.
            alternatives: its alternative names, where they are not ``names``; the first of these
                is the common name as well.
        """
        named = names if alternatives is None else alternatives
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(
                _name(names[0]), self._certificate.subject, key.public_key(), valid, begins=begins
            )
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in named]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return _write(self._folder, names[0], certificate, key)


def self_signed(folder: Path, *names: str) -> KeyPair:
    """A certificate for ``names`` that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(names[0])
    certificate = (
        _builder(name, name, key.public_key(), timedelta(days=7))
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return _write(folder, names[0], certificate, key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    valid: timedelta,
    *,
    begins: timedelta = timedelta(0),
) -> x509.CertificateBuilder:
    begin = datetime.now(UTC) - timedelta(hours=1) + begins
    if valid < timedelta(0):
        begin += valid - timedelta(hours=1)
        valid = timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + valid)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> KeyPair:
    stem = name.replace("*", "_").replace(":", "_")
    pair = KeyPair(folder / f"{stem}.pem", folder / f"{stem}.key")
    pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pair.key.chmod(0o600)
    return pair
