from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.mail.dkim.stand import ed25519_key, rsa_key

from postern.mail.dkim.key import KeyFlaw, KeyRecord, read_key_record, usability_flaw
from postern.mail.dkim.record import record_text
from postern.mail.dkim.result import Cause, DkimResult

ED25519 = b64encode(ed25519_key().public_octets()).decode()
# A key of 512 bits, which no library makes any more.
SMALL = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAIWmlgix/84GJ+dfgjm7LTc9EPdfkftlgiPpCq4/kbDAZmU0VvYKDljjleJ1"
    "dfvS+CGy9U/kk1tG3EeEvb82xAcCAwEAAQ=="
)


def record(text: str) -> KeyRecord:
    read = read_key_record(text)
    assert isinstance(read, KeyRecord)
    return read


def rsa_p(bits: int, public_format: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    public = rsa_key(bits).handle.public_key()
    return b64encode(public.public_bytes(Encoding.DER, public_format)).decode()


def test_a_record_needs_no_more_than_its_key() -> None:
    read = record(f"p={rsa_p(2048)}")
    assert read.key is not None
    assert (read.kind, read.key.bits, read.hashes) == ("rsa", 2048, None)
    assert not read.strict
    assert not read.testing


def test_everything_a_record_can_say() -> None:
    text = (
        f"v=DKIM1; h=sha1 : sha256; k=ed25519; n=notes; s=email:x; t=y:s:z; g=*; p={ED25519}; u=1"
    )
    read = record(text)
    assert read.key is not None
    assert (read.kind, read.key.bits) == ("ed25519", 256)
    assert read.hashes == (b"sha1", b"sha256")
    assert read.services == (b"email", b"x")
    assert read.strict
    assert read.testing


def test_both_ways_to_write_an_rsa_key_are_read() -> None:
    for public_format in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1):
        read = record(f"v=DKIM1; p={rsa_p(1024, public_format)}")
        assert read.key is not None
        assert read.key.bits == 1024


def test_blanks_within_the_key_mean_nothing() -> None:
    spaced = " ".join(ED25519)
    assert record(f"k=ed25519; p= {spaced}").key is not None


def test_a_record_that_was_read_is_kept() -> None:
    text = f"v=DKIM1; p={rsa_p(2048)}"
    assert read_key_record(text) is read_key_record(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no p="),
        ("v=DKIM1; k=rsa", "it has no p="),
        ("v=spf1 -all", "its v= is not DKIM1, in the first place"),
        ("v=DKIM2; p=", "its v= is not DKIM1, in the first place"),
        ("p=; v=DKIM1", "its v= is not DKIM1, in the first place"),
        ("hello", "the tag list has a part that is not a tag"),
        ("p=AA; p=AA", "the tag p= stands twice"),
        ("p=?", "its p= is not base64"),
        ("p=AAAA", "its p= is not an RSA key"),
        ("k=ed25519; p=AAAA", "its p= is not an Ed25519 key of 32 octets"),
        ("k=dilithium; p=AAAA", "its k= is a kind of key that is not known here"),
        (f"k=rsa; p={ED25519}", "its p= is not an RSA key"),
        ("p=" + "A" * 4096, "it is longer than 4096 octets"),
        ("p=\u20ac", "its p= is not base64"),
    ],
)
def test_a_record_of_no_use_says_why(text: str, why: str) -> None:
    assert read_key_record(text) == KeyFlaw(why)


def test_a_key_of_another_kind_is_not_taken_for_rsa() -> None:
    public = generate_ec_key(SECP256R1()).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_key_record(f"p={b64encode(der).decode()}") == KeyFlaw("its p= is not an RSA key")


def test_a_huge_exponent_is_refused_as_it_would_cost_us_much() -> None:
    public = rsa_key(1024).handle.public_key()
    assert isinstance(public, RSAPublicKey)
    huge = RSAPublicNumbers((1 << 127) | 1, public.public_numbers().n)
    der = huge.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_key_record(f"p={b64encode(der).decode()}") == KeyFlaw(
        "its RSA key has an exponent beyond all use"
    )


@pytest.mark.parametrize(
    ("text", "result", "cause"),
    [
        ("p=", DkimResult.PERMERROR, Cause.KEY_REVOKED),
        ("k=ed25519; p=", DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS),
        (f"k=ed25519; p={ED25519}", DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS),
        (f"h=sha1; p={rsa_p(1024)}", DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS),
        (f"s=tlsrpt; p={rsa_p(1024)}", DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS),
        (f"t=s; p={rsa_p(1024)}", DkimResult.PERMERROR, Cause.KEY_NOT_FOR_THIS),
        (f"p={SMALL}", DkimResult.POLICY, Cause.KEY_TOO_SMALL),
    ],
)
def test_a_key_that_does_not_do(text: str, result: DkimResult, cause: Cause) -> None:
    flaw = usability_flaw(record(text), "rsa", domain="tea.example", identity="@a.tea.example")
    assert flaw is not None
    assert (flaw.result, flaw.cause) == (result, cause)


def test_a_very_long_key_is_a_matter_of_policy() -> None:
    n = (1 << 4103) + 1
    der = RSAPublicNumbers(65537, n).public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    flaw = usability_flaw(record(f"p={b64encode(der).decode()}"), "rsa", domain="tea.example")
    assert flaw is not None
    assert (flaw.result, flaw.cause) == (DkimResult.POLICY, Cause.KEY_TOO_LARGE)


@pytest.mark.parametrize(
    "text",
    [
        f"p={rsa_p(1024)}",
        f"t=s; p={rsa_p(1024)}",
        f"s=x:*; h=sha256; p={rsa_p(1024)}",
        f"s=email; t=y; p={rsa_p(1024)}",
    ],
)
def test_a_key_that_does(text: str) -> None:
    assert (
        usability_flaw(record(text), "rsa", domain="tea.example", identity="a@tea.example") is None
    )


def test_a_key_verifies_what_its_other_half_signed_and_nothing_else() -> None:
    digest = bytes(range(32))
    for key in (rsa_key(), ed25519_key()):
        public = record(record_text(key)).key
        assert public is not None
        signature = key.sign(digest)
        assert public.verifies(signature, digest)
        assert not public.verifies(signature, bytes(32))
        assert not public.verifies(signature[:-1], digest)
        assert not public.verifies(b"", digest)
