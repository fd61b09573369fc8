"""Mail that an alias sends on to an address outside: our seal on it, and whether it goes round.

A forwarder breaks SPF, and may be asked to vouch for what it saw: an ARC set says what we found of
the message when it came in (RFC 8617 §1). It is made with the key of the domain that forwards. Who
its bounces go to is rewritten when it leaves, see ``postern.mail.srs``.
"""

from postern.directory.signers import Signers
from postern.mail.arc.seal import SealFlaw, arc_signer, seal
from postern.mail.authres.build import payload
from postern.mail.authres.results import AuthenticationResults
from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields
from postern.mail.message.header import HeaderScan
from postern.policy.checks.letter import Letter
from postern.reception.transaction import Transaction

SEALED_FORM = BodyForm(Canon.RELAXED)
"""What of the body a seal covers."""
FORWARDED = b"delivered-to"
"""The field that mail leaves with for an address outside: the alias that sends it on."""


def sealed(
    signers: Signers, forwarder: str, results: AuthenticationResults, letter: Letter, now: float
) -> bytes:
    """The ARC set to put on top; empty where ``forwarder`` has no key, or nothing can be sealed.

    Args:
        signers: who has keys.
        forwarder: the domain of ours that sends the message on.
        results: what we found of it.
        letter: as it came; its hashes include ``SEALED_FORM``.
        now: seconds since 1970.
    """
    found = signers.of(forwarder)
    chain = next((one.result for one in results.results if one.method == "arc"), "none")
    if not found or chain not in {"none", "pass", "fail"}:
        return b""  # whether the chain so far is whole DNS did not tell: nothing true can be said
    signer = arc_signer(found[0].domain, found[0].selector, found[0].key)
    made = seal(
        signer,
        HeaderFields(letter.head),
        letter.hashes,
        cv=chain,
        payload=payload(results),
        now=now,
    )
    return b"" if isinstance(made, SealFlaw) else made


def goes_round(transaction: Transaction) -> bool:
    """Whether it was forwarded for the same recipient before; it would go round for ever."""
    forwarded = transaction.forwarded
    if not forwarded:
        return False
    marks = {mark.strip().lower() for mark in HeaderScan(transaction.head).all(FORWARDED)}
    return any(delivery.forwarded_for.lower().encode() in marks for delivery in forwarded)


def is_aligned(results: AuthenticationResults, author_domain: str) -> bool:
    """Whether DMARC passed by DKIM alone, so that it still does when we hand the message on.

    A signature of the author's domain, or of one above or below it. What else may be aligned takes
    DNS to know (RFC 9989 §4.10), and mail that is not so sure goes straight.
    """
    found = results.results
    if not any(one.method == "dmarc" and one.result == "pass" for one in found):
        return False
    signed = (one.value("header", "d") for one in found if (one.method, one.result) == _PASSED)
    return any(_is_akin(domain.lower(), author_domain) for domain in signed if domain)


_PASSED = ("dkim", "pass")


def _is_akin(one: str, other: str) -> bool:
    shorter, longer = sorted((f".{one}", f".{other}"), key=len)
    return longer.endswith(shorter) and shorter.count(".") > 1
