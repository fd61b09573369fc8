"""Keys, messages, and DNS as a table: what the tests of DKIM and ARC stand on."""

import hashlib
from base64 import b64encode
from functools import lru_cache
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from postern.mail.dkim.body import BodyForm, BodyHasher, BodyHashes
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.private import PrivateKey
from postern.mail.dkim.record import record_name, record_text
from postern.mail.dkim.result import DkimReport, SignatureResult
from postern.mail.dkim.sign import Signer, sign_all
from postern.mail.dkim.signature import read_signature
from postern.mail.dkim.verify import plan_dkim, verify_dkim
from postern.mail.dns import Answer, Inquiry, Question, Status
from postern.mail.message.header import HeaderScan

T = TypeVar("T")
Zone = dict[str, tuple[str, ...] | Status]

NOW = 1_800_000_000.0
MESSAGE = (
    b"Received: from a.example by b.example; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"From: Tea House <tea@tea.example>\r\n"
    b"To: =?utf-8?q?Gr=C3=BCner_Tee?= <green@leaf.example>,\r\n"
    b"\t  black@leaf.example\r\n"
    b"Subject:   two\t blanks  and a fold\r\n"
    b" of the subject \r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"Message-ID: <1@tea.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"\r\n"
    b"Dear customer,  \r\n"
    b"\r\n"
    b"  the\ttea   is ready. \t \r\n"
    b"-- \r\n"
    b"Tea House\r\n"
    b"\r\n"
    b" \t\r\n"
    b"\r\n"
)


@lru_cache
def rsa_key(bits: int = 2048, nth: int = 0) -> PrivateKey:
    """An RSA key, the same each time it is asked for."""
    del nth
    return PrivateKey("rsa", bits, generate_private_key(65537, bits))


@lru_cache
def ed25519_key(nth: int = 0) -> PrivateKey:
    """An Ed25519 key, the same in every process: tests bear their parameters in their names."""
    seed = bytes(range(nth, nth + 32))
    return PrivateKey("ed25519", 256, Ed25519PrivateKey.from_private_bytes(seed))


def pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.handle.private_bytes(Encoding.PEM, form, NoEncryption())


def seed(key: PrivateKey) -> bytes:
    """An Ed25519 key as 32 octets."""
    return key.handle.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def zone_of(*signers: Signer) -> Zone:
    """DNS with the keys of these signers."""
    return {record_name(s.selector, s.domain): (record_text(s.key),) for s in signers}


def answer(question: Question, zone: Zone) -> Answer:
    found = zone.get(question.name, Status.NO_NAME)
    if isinstance(found, Status):
        return Answer(question, found)
    return Answer(question, Status.OK, found)


def answered(inquiry: Inquiry[T], zone: Zone) -> T:
    """What an inquiry makes of a zone; it may ask once."""
    try:
        asked = next(inquiry)
        assert len(set(asked)) == len(asked) > 0
        inquiry.send(tuple(answer(question, zone) for question in asked))
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it asked twice")


def body_of(message: bytes) -> bytes:
    return message[HeaderScan(message).body_start :]


def hashed(body: bytes, forms: frozenset[BodyForm] | set[BodyForm], step: int = 0) -> BodyHashes:
    """The hashes of a body, fed whole or in pieces of ``step``."""
    hasher = BodyHasher(forms)
    step = step or max(1, len(body))
    for start in range(0, len(body), step):
        hasher.feed(body[start : start + step])
    return hasher.finish()


def verified(message: bytes, zone: Zone, now: float = NOW, step: int = 0) -> DkimReport:
    """All of a message's signatures."""
    plan = plan_dkim(HeaderFields(message), now)
    return answered(verify_dkim(plan, hashed(body_of(message), plan.forms, step)), zone)


def only(message: bytes, zone: Zone, now: float = NOW) -> SignatureResult:
    """The result of a message's one signature."""
    (result,) = verified(message, zone, now).results
    return result


def signed(message: bytes, *signers: Signer, now: float = NOW) -> bytes:
    """The message with its new signatures."""
    hashes = hashed(body_of(message), {signer.form for signer in signers})
    return sign_all(signers, HeaderFields(message), hashes, now) + message


def signed_by_hand(
    message: bytes, key: PrivateKey, tags: str, name: bytes = b"DKIM-Signature"
) -> bytes:
    """The message with a signature of any tags; ``{bh}`` and ``{b}`` are filled in."""
    form = read_signature(filled(tags, bytes(32), b"x")).form
    digest = hashed(body_of(message), {form}).of(form).digest
    assert digest is not None
    value = filled(tags, digest, b"x")
    fields = HeaderFields(name + b":" + value + b"\r\n" + message)
    signature = read_signature(value)
    octets = fields.signed_octets(signature.names, 0, signature.header_canon)
    made = filled(tags, digest, key.sign(hashlib.sha256(octets).digest()))
    return name + b":" + made + b"\r\n" + message


def filled(tags: str, body_hash: bytes, signature: bytes) -> bytes:
    return (
        tags.replace("{bh}", b64encode(body_hash).decode())
        .replace("{b}", b64encode(signature).decode())
        .encode()
    )
