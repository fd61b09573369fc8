"""DMARC: whether the author's domain is proven, and what it asks for where it is not.

``p=reject`` alone is no ground for refusing: mailing lists and forwarders break signatures of mail
that nobody forged (RFC 9989 §5.4, §7.4). So it refuses only where something else speaks against the
message as well, and it did not come by a way that is known to break signatures: a mailing list that
signs with its own domain, a forwarder or a sealer of ARC chains (RFC 8617 §7.2) whom the operator
believes. Else it counts as ``p=quarantine``.

Source: RFC 9989.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from postern.mail.authres import methods
from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.mail.dmarc.evaluate import Cause, DmarcResult, Evaluation, evaluate
from postern.mail.dmarc.names import domain_key
from postern.mail.dmarc.record import Policy
from postern.mail.finding import Finding, Result, Whose
from postern.policy.checks.check import Found, conduct
from postern.policy.checks.letter import Letter
from postern.runtime.resolver.lookup import Lookup

_EVIDENCE = frozenset({"spf.fail", "dnsbl.listed", "spam.score"})


@dataclass(frozen=True, slots=True)
class Believed:
    """Domains (A-labels) whose word excuses a broken signature: ``[checks]`` names them."""

    sealers: frozenset[str] = frozenset()
    forwarders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Way:
    """How the message came here.

    ``sealer``: who sealed its ARC chain last, where that holds; who changed it after somebody
    believed had sealed it, sealed it again. ``ptr`` and ``proven``: the client's confirmed name,
    and for whom it may speak.
    """

    sealer: str = ""
    ptr: str = ""
    proven: frozenset[str] = frozenset()
    believed: Believed = field(default_factory=Believed)


async def check_dmarc(
    letter: Letter,
    identifiers: Sequence[Identifier],
    others: Sequence[Finding],
    lookup: Lookup,
    way: Way | None = None,
) -> Found:
    """``dmarc.reject``, ``dmarc.quarantine``, ``dmarc.couldnt-tell``, or what it came to.

    Args:
        letter: the message.
        identifiers: what SPF and DKIM found.
        others: what all other checks found.
        lookup: for the policy.
        way: how the message came here.
    """
    authors = [author.domain for author in letter.authors or ()]
    found = await conduct(evaluate(authors, identifiers), lookup)
    policy = found.policy.value if found.record is not None else ""
    result = methods.dmarc(found.result.value, header_from=found.author, policy=policy)
    own = _own_proof(found, identifiers) if len(set(authors)) == 1 else None
    excuse = _excuse(letter, identifiers, way or Way())
    finding = own or _finding(found, excuse, others)
    return Found((finding,), results=(result,))


def _own_proof(found: Evaluation, identifiers: Sequence[Identifier]) -> Finding | None:
    """A proof of the very domain is aligned under any policy, also one that is not known."""
    if found.cause is not Cause.POLICY_UNKNOWN:
        return None
    proven = (one for one in identifiers if one.proof is Proof.PASS)
    if all(domain_key(one.domain) != found.author for one in proven):
        return None
    text = f"{found.author} is proven to be the author; what it asks for could not be looked up"
    return Finding("dmarc.reject", Result.NOTE, text)


def _finding(found: Evaluation, excuse: str, others: Sequence[Finding]) -> Finding:
    author = found.author or "the author"
    asks_nothing = found.record is not None and found.policy is Policy.NONE
    could_fail = not asks_nothing and found.result in {DmarcResult.FAIL, DmarcResult.TEMPERROR}
    if found.result is DmarcResult.PASS:
        return Finding("dmarc.reject", Result.PASS, f"{author} is proven to be the author")
    if not could_fail:
        text = f"DMARC of {author}: {found.result.value}, {found.cause.value}"
        return Finding("dmarc.reject", Result.NOTE, text)
    check, why = _weight(found, excuse, others)
    untold = "" if found.result is DmarcResult.FAIL else found.cause.value
    untold = untold or _untold_method(found, others)
    if untold:
        text = f"whether {author} is proven could not be told: {untold}"
        return Finding(
            "dmarc.couldnt-tell", Result.COULDNT_TELL, text, Whose.BETWEEN, could_be=(check,)
        )
    return Finding(check, Result.FAIL, f"{_asked(found)}{why}")


def _untold_method(found: Evaluation, others: Sequence[Finding]) -> str:
    """SPF or DKIM where it could not be told as a whole, so that nothing was compared."""
    compared = {identifier.method for identifier in found.identifiers}
    untold = {one.family for one in others if one.result is Result.COULDNT_TELL}
    for method in Method:
        if method not in compared and method.value in untold:
            return f"{method.value.upper()} is not known"
    return ""


def _asked(found: Evaluation) -> str:
    what = "refused" if found.policy is Policy.REJECT else "put aside"
    says = f"{found.author} says that mail in its name which it did not sign is to be"
    return f"{says} {what} (DMARC)"


def _weight(found: Evaluation, excuse: str, others: Sequence[Finding]) -> tuple[str, str]:
    """What a fail amounts to for this message, and why."""
    if found.record is not None and found.policy is not Policy.REJECT:
        return "dmarc.quarantine", ""
    if excuse:
        return "dmarc.quarantine", f", but {excuse}, which may have broken the signature"
    against = [one for one in others if one.result is Result.FAIL and one.check in _EVIDENCE]
    if not against:
        return "dmarc.quarantine", ", but nothing else speaks against it"
    return "dmarc.reject", f", and {against[0].text}"


def _excuse(letter: Letter, identifiers: Sequence[Identifier], way: Way) -> str:
    """Why a signature that does not hold proves no forgery; empty: nothing says so.

    Anybody can write a List-Id: it counts only with a signature of the list's own domain.
    """
    signers = {
        one.domain.lower()
        for one in identifiers
        if one.method is Method.DKIM and one.proof is Proof.PASS
    }
    if letter.list_id and _is_of(letter.list_id, signers):
        return f"it came through the mailing list {letter.list_id}"
    believed = way.believed
    if way.sealer and _is_of(way.sealer, believed.sealers):
        return f"{way.sealer}, whom we believe, passed it on"
    names = {way.ptr.lower(), *way.proven} - {""}
    known = sorted(name for name in names if _is_of(name, believed.forwarders))
    return f"{known[0]}, whom we know, forwarded it" if known else ""


def _is_of(name: str, domains: Collection[str]) -> bool:
    """True for one of ``domains``, and for every name in one of them."""
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)
