"""Alignment: does an authenticated domain speak for the author's?

Identical domains need no walk, strict alignment never does, and a domain outside of the author's
organisation cannot have the same one, so its records are never asked for: a forger's own name
servers have no say, not even by their silence. What is left is walked in one round.

Source: RFC 9989 §4.4, §4.10.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from postern.mail.dmarc.names import domain_key, is_within, share_a_label
from postern.mail.dmarc.record import Mode, Record
from postern.mail.dmarc.tree import Organisation, Tree, surely_one
from postern.mail.dns import Inquiry

MAX_WALKS = 8
"""Domains other than the author's that are walked for one verdict."""


class Method(Enum):
    """What authenticated a domain."""

    SPF = "spf"
    DKIM = "dkim"


class Proof(Enum):
    """How the authentication came out."""

    PASS = "pass"  # noqa: S105 - a word of results, not a secret
    FAIL = "fail"
    COULDNT_TELL = "couldnt-tell"


class Alignment(Enum):
    """Whether a domain speaks for the author's; NOT_ASKED: the verdict didn't need it."""

    YES = "yes"
    NO = "no"
    COULDNT_TELL = "couldnt-tell"
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True)
class Identifier:
    """A domain that SPF (MAIL FROM, or HELO for the null sender) or a DKIM signature was about.

    ``proof`` is PASS only for SPF's or DKIM's own pass, COULDNT_TELL for their temperror, and FAIL
    for everything else: neutral, softfail, none, permerror, policy.
    """

    method: Method
    domain: str
    proof: Proof


def align(
    author: str,
    record: Record,
    identifiers: Sequence[Identifier],
    tree: Tree,
    *,
    thorough: bool = False,
) -> Inquiry[tuple[Alignment, ...]]:
    """How each identifier stands to the author's domain, in their order.

    Args:
        author: the author domain, as ``domain_key`` spells it.
        record: the policy record that applies, for its modes.
        identifiers: what SPF and DKIM found.
        tree: what is known of the tree; learns.
        thorough: settle every identifier that passed, even when one is aligned already; reports
            name SPF's and DKIM's alignment apart (RFC 9990 §3.1.1.9).
    """
    known = [_at_sight(author, record, identifier) for identifier in identifiers]
    if not thorough and _has_pass(identifiers, known):
        return tuple(known)
    waiting = [
        i
        for i, alignment in enumerate(known)
        if alignment is Alignment.NOT_ASKED and identifiers[i].proof is not Proof.FAIL
    ]
    # Those that passed go first: they can settle it.
    waiting.sort(key=lambda i: identifiers[i].proof is not Proof.PASS)
    domains = list(dict.fromkeys(identifiers[i].domain for i in waiting))
    if domains:
        settled = yield from _compare(author, domains, tree)
        for i in waiting:
            known[i] = settled[identifiers[i].domain]
    return tuple(known)


def _at_sight(author: str, record: Record, identifier: Identifier) -> Alignment:
    """What can be said without DNS; NOT_ASKED where only walks can say it."""
    domain = domain_key(identifier.domain)
    if domain is None:
        return Alignment.NO
    if domain == author:
        return Alignment.YES
    mode = record.aspf if identifier.method is Method.SPF else record.adkim
    if mode is Mode.STRICT or not share_a_label(domain, author):
        return Alignment.NO
    return Alignment.NOT_ASKED


def _has_pass(identifiers: Sequence[Identifier], known: Sequence[Alignment]) -> bool:
    """True when an identifier that passed is aligned."""
    return any(
        identifier.proof is Proof.PASS and alignment is Alignment.YES
        for identifier, alignment in zip(identifiers, known, strict=True)
    )


def _compare(author: str, domains: Sequence[str], tree: Tree) -> Inquiry[dict[str, Alignment]]:
    """Relaxed alignment of domains that are not the author's, by what they were called."""
    home = yield from tree.walk(author)
    keys = {text: domain_key(text) or "" for text in domains}
    near = [key for key in dict.fromkeys(keys.values()) if _could_be_home(key, home)][:MAX_WALKS]
    yield from tree.look_up([name for key in near for name in tree.still_open(key)])
    walked = set(near)
    return {
        text: _relaxed(author, home, tree.organisation(key))
        if key in walked
        else (Alignment.COULDNT_TELL if _could_be_home(key, home) else Alignment.NO)
        for text, key in keys.items()
    }


def _could_be_home(domain: str, home: Organisation) -> bool:
    """True when a walk from ``domain`` could end in the author's organisation."""
    return bool(home.doubts) or is_within(domain, home.domain)


def _relaxed(author: str, home: Organisation, other: Organisation) -> Alignment:
    """Whether two walks met in one organisation, as far as one can tell."""
    if surely_one(home, other):
        return Alignment.YES
    if not other.doubts and (not home.doubts or not is_within(author, other.domain)):
        return Alignment.NO
    return Alignment.COULDNT_TELL
