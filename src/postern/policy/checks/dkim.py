"""DKIM signatures and the ARC chain: who vouches for the message as it came.

Source: RFC 6376 §6 (a signature that fails is as none: it may have broken on the way), RFC 8463,
RFC 8617 §5.2, RFC 8601 §2.7.1.
"""

import asyncio
import functools

from postern.mail.arc.report import ArcReport, ArcResult
from postern.mail.arc.verify import judge_arc
from postern.mail.authres import methods
from postern.mail.authres.results import MethodResult
from postern.mail.dkim.result import DkimReport, DkimResult, SignatureResult
from postern.mail.dkim.verify import Keys, ask_for_keys, judge_dkim
from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.mail.finding import Finding, Result, Whose
from postern.policy.checks.check import Found, conduct
from postern.policy.checks.letter import Letter
from postern.runtime.resolver.lookup import Lookup

MAX_ON_THE_LOOP = 8
"""Signatures, at some 40 microseconds each; a long ARC chain is reckoned on a thread."""
MAX_CHAIN_KEYS = 20
"""Keys of an ARC chain that are asked for; a chain of more is not known, and nobody's proof."""
_PROOFS = {DkimResult.PASS: Proof.PASS, DkimResult.TEMPERROR: Proof.COULDNT_TELL}


async def check_dkim(letter: Letter, lookup: Lookup) -> Found:
    """``dkim.fail``, ``dkim.couldnt-tell``, or who signed it; what DMARC and others need to know.

    A signature of which anybody could have added to the body (l=) vouches for nobody in rules.
    """
    asked = list(letter.dkim.questions)
    if len(letter.arc.questions) <= MAX_CHAIN_KEYS:
        asked += letter.arc.questions
    keys = await conduct(ask_for_keys(asked), lookup)
    reckon = functools.partial(_reckon, letter, keys)
    signatures = len(letter.dkim.planned) + 2 * len(letter.arc.sets)
    is_little = signatures <= MAX_ON_THE_LOOP
    report, chain = reckon() if is_little else await asyncio.to_thread(reckon)
    identifiers = tuple(
        Identifier(Method.DKIM, one.domain, _PROOFS.get(one.result, Proof.FAIL))
        for one in report.results
        if one.domain
    )
    return Found(
        (_finding(report),),
        proven=frozenset(one.domain for one in report.passed if one.covers is None),
        identifiers=identifiers,
        results=(*_reported(report), *_reported_chain(chain)),
        sealer=chain.sealers[-1].domain.lower() if chain.result is ArcResult.PASS else "",
    )


def _reckon(letter: Letter, keys: Keys) -> tuple[DkimReport, ArcReport]:
    return judge_dkim(letter.dkim, keys, letter.hashes), judge_arc(letter.arc, keys, letter.hashes)


def _finding(report: DkimReport) -> Finding:
    if not report.results:
        return Finding("dkim.fail", Result.NOTE, "the message is not signed")
    passed = report.passed
    if passed:
        return Finding("dkim.fail", Result.PASS, passed[0].text)
    untold = [one for one in report.results if one.result is DkimResult.TEMPERROR]
    if untold:
        return Finding("dkim.couldnt-tell", Result.COULDNT_TELL, untold[0].text, Whose.BETWEEN)
    return Finding("dkim.fail", Result.FAIL, f"no signature holds: {report.results[0].text}")


def _reported(report: DkimReport) -> tuple[MethodResult, ...]:
    if not report.results:
        return (methods.dkim("none"),)
    return tuple(_reported_one(one) for one in report.results)


def _reported_one(one: SignatureResult) -> MethodResult:
    return methods.dkim(
        one.result.value,
        domain=one.domain,
        identity=one.identity if one.result is DkimResult.PASS else "",
        selector=one.selector,
        algorithm=one.algorithm,
        signature=one.begins,
        reason="" if one.result is DkimResult.PASS else one.text,
    )


def _reported_chain(chain: ArcReport) -> tuple[MethodResult, ...]:
    if chain.result is ArcResult.NONE:
        return ()
    oldest = "" if chain.oldest_pass is None else str(chain.oldest_pass)
    return (methods.arc(chain.result.value, oldest_pass=oldest),)
