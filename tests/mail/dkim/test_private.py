import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.mail.dkim.stand import ed25519_key, pem, rsa_key

from postern.mail.dkim.key import KeyFlaw
from postern.mail.dkim.private import PrivateKey, read_private_key


def read(text: bytes) -> PrivateKey:
    key = read_private_key(text)
    assert isinstance(key, PrivateKey)
    return key


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_rsa_key_is_read_in_both_its_forms(form: PrivateFormat) -> None:
    key = read(pem(rsa_key(), form))
    assert (key.algorithm, key.bits, key.is_short) == ("rsa-sha256", 2048, False)
    assert key.public_octets() == rsa_key().public_octets()


def test_an_ed25519_key_is_read() -> None:
    key = read(pem(ed25519_key()))
    assert (key.algorithm, key.bits, key.is_short) == ("ed25519-sha256", 256, False)
    assert key.public_octets() == ed25519_key().public_octets()


def test_a_short_rsa_key_is_valid_and_known_as_short() -> None:
    assert read(pem(rsa_key(1024))).is_short


def test_what_cannot_sign_says_why() -> None:
    encrypted = rsa_key().handle.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    other = generate_ec_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    assert read_private_key(b"") == KeyFlaw("it is not a private key in PEM format")
    assert read_private_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") == (
        KeyFlaw("it is not a private key in PEM format")
    )
    assert read_private_key(encrypted) == KeyFlaw("the private key is encrypted")
    assert read_private_key(other) == KeyFlaw("it is neither an RSA nor an Ed25519 key")
