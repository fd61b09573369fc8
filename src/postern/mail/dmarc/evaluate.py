"""The verdict of DMARC on one message: proven, not proven, or couldn't tell, and what is asked.

``fail`` is said only when it is sure that nothing aligned has passed. An answer that is missing, of
ours or of SPF's or DKIM's, makes ``temperror`` of it where it could have been the proof (RFC 9989
§5.3.6: such a message "cannot be considered to pass or fail").

What becomes of the message is not decided here; ``p=reject`` alone is no ground for refusing
(RFC 9989 §5.4, §7.4), and a policy of none changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from postern.mail.dmarc.alignment import MAX_WALKS, Alignment, Identifier, Proof, align
from postern.mail.dmarc.names import MAX_WALK, domain_key
from postern.mail.dmarc.record import Policy, Record
from postern.mail.dmarc.tree import Tree
from postern.mail.dns import Inquiry

MAX_AUTHORS = 3
"""Different author domains that are looked at; a From with more is not evaluated at all."""

MAX_QUESTIONS = MAX_AUTHORS * (MAX_WALK + 1 + MAX_WALKS * (MAX_WALK - 1))
"""What the most hostile message can cost: three authors of eight labels, and for each of them eight
domains of the same organisation, walked but for the top they have in common."""


class DmarcResult(Enum):
    """The words of Authentication-Results (RFC 9989 §9.2)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a word of results, not a secret
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Cause(Enum):
    """Why the result is what it is."""

    ALIGNED = "aligned"
    NOT_ALIGNED = "not-aligned"
    NO_RECORD = "no-record"
    BAD_RECORD = "bad-record"
    NO_AUTHOR = "no-author"
    MANY_AUTHORS = "many-authors"
    POLICY_UNKNOWN = "policy-unknown"  # the look-up of the record did not end
    ALIGNMENT_UNKNOWN = "alignment-unknown"  # an organisation's look-up did not end
    PROOF_UNKNOWN = "proof-unknown"  # SPF or DKIM couldn't tell
    EXISTENCE_UNKNOWN = "existence-unknown"  # sp or np? the look-up did not end


class Tag(Enum):
    """Which tag of the record a policy was taken from."""

    P = "p"
    SP = "sp"
    NP = "np"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What DMARC says.

    ``author`` is the author domain it is about. ``record`` was found at ``policy_domain``; its
    ``tag`` is the one that applies, ``published`` what it says, ``policy`` what is asked after
    ``t=y`` (the word for ``policy.dmarc``). Whether the author domain exists is asked for only when
    the message failed and the answer matters, so ``tag`` is NP only then. ``aligned`` goes with the
    identifiers that were given.
    """

    result: DmarcResult
    cause: Cause
    author: str = ""
    policy_domain: str = ""
    record: Record | None = None
    tag: Tag | None = None
    published: Policy = Policy.NONE
    policy: Policy = Policy.NONE
    identifiers: tuple[Identifier, ...] = ()
    aligned: tuple[Alignment, ...] = ()

    @property
    def proofs(self) -> tuple[Identifier, ...]:
        """The identifiers that passed and are aligned; with one, the message passes."""
        return tuple(
            identifier
            for identifier, alignment in zip(self.identifiers, self.aligned, strict=True)
            if identifier.proof is Proof.PASS and alignment is Alignment.YES
        )


def evaluate(
    authors: Sequence[str], identifiers: Sequence[Identifier], *, thorough: bool = False
) -> Inquiry[Evaluation]:
    """Evaluate one message.

    Args:
        authors: the domains of all addresses in From (groups too), in order; none for a message
            without a From, with two, or with one that can't be read. Two addresses in one domain
            are one author domain.
        identifiers: what SPF and DKIM found.
        thorough: settle the alignment of everything that passed, for reports.

    With more than one author domain each is evaluated, and the worst result is returned, that is
    the strictest policy among those that fail (RFC 9989 §11.5); ``pass`` only if all pass. More
    than three, or none at all, are ``permerror``: DMARC is not possible (RFC 9989 §5.3.1).
    """
    names = list(dict.fromkeys(domain_key(author) or author for author in authors))
    if not names:
        return Evaluation(DmarcResult.PERMERROR, Cause.NO_AUTHOR)
    if len(names) > MAX_AUTHORS:
        return Evaluation(DmarcResult.PERMERROR, Cause.MANY_AUTHORS)
    tree = Tree()
    worst: Evaluation | None = None
    for name in names:
        evaluation = yield from _evaluate(name, identifiers, tree, thorough=thorough)
        if worst is None or _weight(evaluation) > _weight(worst):
            worst = evaluation
    assert worst is not None
    return worst


def _weight(evaluation: Evaluation) -> int:
    """How bad a result is; only a failure with a policy outweighs couldn't-tell."""
    if evaluation.result is DmarcResult.FAIL:
        return 3 if evaluation.policy is Policy.NONE else 4 + evaluation.policy.severity
    return {
        DmarcResult.PASS: 0,
        DmarcResult.NONE: 1,
        DmarcResult.PERMERROR: 2,
        DmarcResult.TEMPERROR: 4,
    }[evaluation.result]


def _evaluate(
    author: str, identifiers: Sequence[Identifier], tree: Tree, *, thorough: bool
) -> Inquiry[Evaluation]:
    """The evaluation for one author domain."""
    found = yield from _policy(author, tree)
    record = found.record
    if record is None:
        return found
    if not record.is_usable:
        return replace(found, result=DmarcResult.PERMERROR, cause=Cause.BAD_RECORD)
    aligned = yield from align(author, record, identifiers, tree, thorough=thorough)
    result, cause = _verdict(identifiers, aligned)
    found = replace(
        found,
        result=result,
        cause=cause,
        identifiers=tuple(identifiers),
        aligned=aligned,
    )
    if result is DmarcResult.FAIL and found.policy_domain != author:
        return (yield from _consider_np(found, tree))
    return found


def _policy(author: str, tree: Tree) -> Inquiry[Evaluation]:
    """The record that applies to an author domain, as if it existed (RFC 9989 §4.10.1).

    The result in it is a finished one only where ``record`` is None.
    """
    none = Evaluation(DmarcResult.NONE, Cause.NO_RECORD, author)
    if domain_key(author) != author:
        return none  # an address literal: no name, no policy
    yield from tree.look_up((author,))
    own = tree.at(author)
    if own.record is not None:
        return _asked(replace(none, policy_domain=author, record=own.record), Tag.P)
    organisation = yield from tree.walk(author)
    if organisation.doubts:
        return replace(none, result=DmarcResult.TEMPERROR, cause=Cause.POLICY_UNKNOWN)
    record = organisation.policy
    if record is None:
        return none
    found = replace(none, policy_domain=organisation.policy_domain, record=record)
    return _asked(found, Tag.SP)


def _consider_np(found: Evaluation, tree: Tree) -> Inquiry[Evaluation]:
    """A failed message of a subdomain: does ``np`` apply, because the subdomain does not exist?"""
    other = _asked(found, Tag.NP)
    if other.policy is found.policy:
        return found
    exists = yield from tree.exists(found.author)
    if exists is None:
        return replace(found, result=DmarcResult.TEMPERROR, cause=Cause.EXISTENCE_UNKNOWN)
    return other if exists is False else found


def _asked(found: Evaluation, tag: Tag) -> Evaluation:
    """With the policy that ``tag`` asks for, or the next tag that is given (RFC 9989 §4.7)."""
    record = found.record
    assert record is not None
    published, used = record.p, Tag.P
    if tag is not Tag.P and record.sp is not None:
        published, used = record.sp, Tag.SP
    if tag is Tag.NP and record.np is not None:
        published, used = record.np, Tag.NP
    policy = published.one_level_lower if record.is_test else published
    return replace(found, tag=used, published=published, policy=policy)


def _verdict(
    identifiers: Sequence[Identifier], aligned: Sequence[Alignment]
) -> tuple[DmarcResult, Cause]:
    """Pass with one aligned proof; fail only when there can't be one (RFC 9989 §5.3.5-6)."""
    cause = Cause.NOT_ALIGNED
    for identifier, alignment in zip(identifiers, aligned, strict=True):
        if identifier.proof is Proof.FAIL or alignment in {Alignment.NO, Alignment.NOT_ASKED}:
            continue
        if identifier.proof is Proof.COULDNT_TELL:
            cause = Cause.PROOF_UNKNOWN
        elif alignment is Alignment.YES:
            return DmarcResult.PASS, Cause.ALIGNED
        elif cause is Cause.NOT_ALIGNED:
            cause = Cause.ALIGNMENT_UNKNOWN
    result = DmarcResult.FAIL if cause is Cause.NOT_ALIGNED else DmarcResult.TEMPERROR
    return result, cause
