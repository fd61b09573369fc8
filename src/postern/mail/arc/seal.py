"""Seals a message: the three ARC fields of the next instance, to be put in front.

Source: RFC 8617 §4.1, §5.1.
"""

import re
from dataclasses import dataclass

from postern.mail.arc.chain import MAX_SETS, Chain, ChainFlaw, read_chain
from postern.mail.dkim.body import BodyHashes
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields, emptied_field
from postern.mail.dkim.private import PrivateKey
from postern.mail.dkim.sign import SIGNED, Signer, folded

MAX_PAYLOAD_OCTETS = 16_384

# What comes and goes on the way, or is covered by the seal (RFC 8617 §4.1.2).
_NEVER_SIGNED = frozenset(
    {b"arc-seal", b"arc-message-signature", b"arc-authentication-results",
     b"authentication-results", b"received", b"return-path"}
)  # fmt: skip
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SealFlaw:
    """Why no seal was made: one plain clause without a full stop."""

    text: str


def arc_signer(domain: str, selector: str, key: PrivateKey) -> Signer:
    """A signer for seals: it covers the message's DKIM signatures too.

    Raises:
        ValueError: a name holds something that would break out of the field.
    """
    return Signer(domain, selector, key, signed=(*SIGNED, b"DKIM-Signature"))


def seal(
    signer: Signer, fields: HeaderFields, hashes: BodyHashes, *, cv: str, payload: bytes, now: float
) -> bytes | SealFlaw:
    """ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results, each with its CR LF.

    Args:
        signer: see ``arc_signer``; its ``form`` must be in ``hashes``.
        fields: the header as it will be sent, without the new fields.
        hashes: of the body as it will be sent.
        cv: what was found of the chain as it came in: ``ArcReport.cv``.
        payload: what our Authentication-Results field holds behind its colon, folded or not.
        now: seconds since 1970.
    """
    if fields.is_overlong:
        return SealFlaw("the header is too long to be looked at")
    chain = read_chain(fields)
    instance = _next_instance(chain, cv)
    if isinstance(instance, SealFlaw):
        return instance
    if any(name.lower() in _NEVER_SIGNED for name in (*signer.oversigned, *signer.signed)):
        return SealFlaw("the fields to sign have one that message signatures must not cover")
    results = _results_field(instance, payload)
    if isinstance(results, SealFlaw):
        return results
    message = signer.sign_as(b"ARC-Message-Signature", [b" i=%d;" % instance], fields, hashes, now)
    opening = folded(
        b"ARC-Seal:",
        [
            b" i=%d;" % instance,
            b" a=" + signer.key.algorithm.encode("ascii") + b";",
            b" cv=" + cv.encode("ascii") + b";",
            *signer.whose(now),
            b" b=",
        ],
    )
    # A chain that failed is not covered, as nobody could put it together again (RFC 8617 §5.1.2).
    sealed = _covered(fields, chain) if isinstance(chain, Chain) and cv == "pass" else []
    own = HeaderFields(results + message)
    sealed += [own.canonical(0, Canon.RELAXED), own.canonical(1, Canon.RELAXED)]
    sealed.append(emptied_field(opening, Canon.RELAXED))
    return signer.seal(opening, b"".join(sealed)) + message + results


def _next_instance(chain: Chain | ChainFlaw | None, cv: str) -> int | SealFlaw:
    """The number of the new set, or why there can be none."""
    if cv not in {"none", "pass", "fail"}:
        return SealFlaw("it is not known whether the chain so far is whole")
    if (chain is None) != (cv == "none") or (isinstance(chain, ChainFlaw) and cv == "pass"):
        return SealFlaw(f"the message's chain is not one of which {cv} can be said")
    if chain is None:
        return 1
    highest = chain.highest if isinstance(chain, ChainFlaw) else chain.sets[-1].instance
    if highest >= MAX_SETS:
        return SealFlaw(f"the chain has {MAX_SETS} sets already")
    if isinstance(chain, Chain) and chain.sets[-1].seal.cv == "fail":
        return SealFlaw("the chain was found broken by the last who sealed it, and ends there")
    return highest + 1


def _results_field(instance: int, payload: bytes) -> bytes | SealFlaw:
    """The ARC-Authentication-Results field, folded behind semicolons."""
    text = payload.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ").removesuffix(b"\r\n").strip()
    if not text or len(text) > MAX_PAYLOAD_OCTETS or _UNSAFE.search(text):
        return SealFlaw(
            "the authentication results are empty, too long, or have control characters"
        )
    words = [b" " + part.strip(b" \t") + b";" for part in text.rstrip(b"; \t").split(b";")]
    words[-1] = words[-1].removesuffix(b";")
    return folded(b"ARC-Authentication-Results: i=%d;" % instance, words) + b"\r\n"


def _covered(fields: HeaderFields, chain: Chain) -> list[bytes]:
    """The sets so far, in the order in which seals cover them."""
    return [fields.canonical(place, Canon.RELAXED) for one in chain.sets for place in one.places]
