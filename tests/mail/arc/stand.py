"""Chains for the tests of ARC, made by sealing a message again and again."""

from tests.mail.dkim.stand import NOW, Zone, answered, body_of, hashed

from postern.mail.arc.report import ArcReport
from postern.mail.arc.seal import SealFlaw, seal
from postern.mail.arc.verify import plan_arc, verify_arc
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.sign import Signer

PAYLOAD = b"mx.tea.example; spf=pass smtp.mailfrom=leaf.example; dkim=pass header.d=leaf.example"


def validated(message: bytes, zone: Zone, now: float = NOW, step: int = 0) -> ArcReport:
    plan = plan_arc(HeaderFields(message), now)
    return answered(verify_arc(plan, hashed(body_of(message), plan.forms, step)), zone)


def sealing(
    message: bytes, signer: Signer, cv: str, payload: bytes = PAYLOAD, now: float = NOW
) -> bytes | SealFlaw:
    hashes = hashed(body_of(message), {signer.form})
    return seal(signer, HeaderFields(message), hashes, cv=cv, payload=payload, now=now)


def sealed(
    message: bytes, signer: Signer, cv: str, payload: bytes = PAYLOAD, now: float = NOW
) -> bytes:
    """The message with the next set in front."""
    fields = sealing(message, signer, cv, payload, now)
    assert isinstance(fields, bytes)
    return fields + message


def chain_of(message: bytes, *signers: Signer, now: float = NOW) -> bytes:
    """The message sealed by all of them in turn, none of whom changed anything."""
    for nth, signer in enumerate(signers):
        message = sealed(message, signer, "pass" if nth else "none", now=now)
    return message
