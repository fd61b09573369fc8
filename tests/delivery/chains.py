"""Certificates of every kind for servers that prove who they are, or fail to."""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postern.mail.route import Tlsa

NOW = datetime.now(UTC)
OF_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def tlsa(self, usage: int, selector: int = 1, matching: int = 1) -> Tlsa:
        data = self.spki if selector else self.der
        made = {0: data, 1: sha256(data).digest(), 2: sha512(data).digest()}
        return Tlsa(usage, selector, matching, made[matching])

    def record(self, usage: int, selector: int = 1, matching: int = 1) -> str:
        """The TLSA record's data, as zones have it."""
        made = self.tlsa(usage, selector, matching)
        return f"{usage} {selector} {matching} {made.data.hex()}"


def make(
    name: str,
    issuer: Made | None = None,
    *,
    names: tuple[str, ...] = (),
    ca: bool | None = None,
    path_length: int | None = None,
    days: tuple[int, int] = (-1, 7),
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> Made:
    """A certificate named ``name``, for ``names``; ``ca`` None: it does not say."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False
        )
    if ca is not None:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=path_length), critical=True
        )
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    signer = key if issuer is None else issuer.key
    return Made(builder.sign(signer, hashes.SHA256()), key)


def serving(leaf: Made, *above: Made) -> ssl.SSLContext:
    """What a server that shows ``leaf`` and then ``above`` talks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_bytes(pem(leaf, *above))
        key.write_bytes(key_pem(leaf))
        context.load_cert_chain(chain, key)
    return context


def pem(*made: Made) -> bytes:
    return b"".join(one.certificate.public_bytes(Encoding.PEM) for one in made)


def key_pem(made: Made) -> bytes:
    return made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
