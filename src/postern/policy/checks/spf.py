"""SPF of both identities: who the client says to be at HELO, and whom it sends for.

Source: RFC 7208 §2.3, §2.4, §8 (what each result means), §4.6.4 (20 s at the least for all of it).
"""

from postern.mail.authres import methods
from postern.mail.authres.results import MethodResult
from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.mail.dmarc.tree import Tree
from postern.mail.finding import Finding, Result, Whose
from postern.mail.spf.evaluate import check_host
from postern.mail.spf.identity import Claim, Identity, identities
from postern.mail.spf.result import SpfCode, SpfResult, out_of_time
from postern.policy.checks.check import Found, Seen, conduct
from postern.runtime.eager import together, within
from postern.runtime.resolver.lookup import Lookup

LIMIT_S = 20.0
"""For each identity; whoever runs this check gives it a little more."""
DMARC_LIMIT_S = 2.0
"""On top: whether the domain publishes DMARC; who is silent about that might."""
MAX_EXPLANATION_CHARS = 200


async def check_spf(seen: Seen, lookup: Lookup) -> Found:
    """``spf.fail``, ``spf.softfail``, ``spf.couldnt-tell``, or what it came to; domains proven."""
    claims: tuple[Claim, ...] = identities(seen.mail_from, seen.helo)
    if seen.mail_from is None:
        claims = claims[1:]  # for the null sender both ask the same
    results = await together(_ask(claim, seen, lookup) for claim in claims)
    proven = frozenset(
        claim.domain.lower().removesuffix(".")
        for claim, result in zip(claims, results, strict=True)
        if result.code is SpfCode.PASS
    )
    pairs = list(zip(claims, results, strict=True))
    findings = tuple(_finding(claim, result) for claim, result in pairs)
    failed = [claim for claim, one in zip(claims, findings, strict=True) if _is_fail(one)]
    return Found(
        findings,
        proven=proven,
        identifiers=tuple(
            Identifier(Method.SPF, claim.domain, _proof(result))
            for claim, result in pairs
            if claim.identity is Identity.MAIL_FROM
        ),
        results=tuple(_reported(claim, result) for claim, result in pairs),
        waits=await _waits(failed[0].domain, lookup) if failed else frozenset(),
    )


def _is_fail(finding: Finding) -> bool:
    return finding.check == "spf.fail" and finding.result is Result.FAIL


async def _waits(domain: str, lookup: Lookup) -> frozenset[str]:
    """``spf.fail`` where DMARC has, or might have, the last word on that domain."""
    name = domain.lower().removesuffix(".")
    try:
        organisation = await within(conduct(Tree().walk(name), lookup), DMARC_LIMIT_S)
    except TimeoutError:
        return frozenset({"spf.fail"})
    has_word = organisation.policy is not None or organisation.doubts
    return frozenset({"spf.fail"}) if has_word else frozenset()


_PROOFS = {SpfCode.PASS: Proof.PASS, SpfCode.TEMPERROR: Proof.COULDNT_TELL}
"""DMARC takes the MAIL FROM identity alone (RFC 9989 §4.4.2)."""


def _proof(result: SpfResult) -> Proof:
    if result.code is not SpfCode.PASS and result.unanswered:
        return Proof.COULDNT_TELL
    return _PROOFS.get(result.code, Proof.FAIL)


def _reported(claim: Claim, result: SpfResult) -> MethodResult:
    """One identity's result in Authentication-Results (RFC 8601 §2.7.2)."""
    if claim.identity is Identity.HELO:
        return methods.spf(result.code.value, helo=claim.domain)
    return methods.spf(result.code.value, mail_from=claim.domain)


async def _ask(claim: Claim, seen: Seen, lookup: Lookup) -> SpfResult:
    inquiry = check_host(
        seen.ip, claim.domain, claim.sender, seen.helo, receiver=seen.hostname, now=seen.at
    )
    try:
        return await within(conduct(inquiry, lookup), LIMIT_S)
    except TimeoutError:
        return out_of_time(claim.domain)


def _finding(claim: Claim, result: SpfResult) -> Finding:
    domain, who = result.domain, _WHO[claim.identity]
    match result.code:
        case SpfCode.TEMPERROR if claim.identity is Identity.HELO:
            # Its fail is only noted, so not to know it is no more.
            return Finding("spf.fail", Result.NOTE, f"{who} {domain}: {result.problem}")
        case SpfCode.FAIL | SpfCode.SOFTFAIL if result.unanswered:
            # A ptr term was passed over because DNS was silent (RFC 7208 §5.5): it might have
            # matched, so this is no proof that it did not.
            text = f"whether the client may send for {who} {domain} could not be told"
            return _untold(text, f"spf.{result.code.value}")
        case SpfCode.FAIL if claim.identity is Identity.MAIL_FROM:
            return Finding("spf.fail", Result.FAIL, _fail_text(result))
        case SpfCode.SOFTFAIL if claim.identity is Identity.MAIL_FROM:
            text = f"{domain} thinks that mail from your server is not its own (SPF {result.term})"
            return Finding("spf.softfail", Result.FAIL, text)
        case SpfCode.TEMPERROR:
            text = f"SPF of {who} {domain} could not be told: {result.problem}"
            return _untold(text, "spf.fail", "spf.softfail")
        case _:
            result_word = Result.PASS if result.code is SpfCode.PASS else Result.NOTE
            why = f": {result.problem}" if result.problem else ""
            return Finding("spf.fail", result_word, f"{who} {domain}: {result.code.value}{why}")


def _untold(text: str, *could_be: str) -> Finding:
    return Finding("spf.couldnt-tell", Result.COULDNT_TELL, text, Whose.BETWEEN, could_be=could_be)


def _fail_text(result: SpfResult) -> str:
    text = f"{result.domain} does not let your mail server send for it (SPF {result.term})"
    said = result.explanation[:MAX_EXPLANATION_CHARS]
    return f'{text}; it says: "{said}"' if said else text


_WHO = {Identity.HELO: "the server name", Identity.MAIL_FROM: "the sender's domain"}
