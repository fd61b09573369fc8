"""Reverse DNS of the client: a name, and one that leads back to the client's address.

Source: RFC 8601 §2.7.3 (iprev), RFC 1912 §2.1 (every address should have a name that leads back).
"""

from dataclasses import replace

from postern.mail.address import to_a_labels
from postern.mail.authres import methods
from postern.mail.dns import Question, Status
from postern.mail.finding import Result
from postern.policy.checks.check import (
    Found,
    Seen,
    ask_all,
    confirm_all,
    couldnt_tell,
    denied,
    failed,
    passed,
)
from postern.runtime.resolver.lookup import Lookup

_IPREV = {Result.PASS: "pass", Result.FAIL: "fail", Result.COULDNT_TELL: "temperror"}
"""RFC 8601 §2.7.3."""
MAX_NAMES = 10
"""Names of one address that are looked at (RFC 7208 §5.5 has the same bound)."""


async def check_ptr(seen: Seen, lookup: Lookup) -> Found:
    """``ptr.missing``, ``ptr.mismatch``, or the confirmed name."""
    found = await _check(seen, lookup)
    result = _IPREV[found.findings[0].result]
    return replace(found, results=(methods.iprev(result, seen.ip),))


async def _check(seen: Seen, lookup: Lookup) -> Found:
    answer = await lookup.confirm(await lookup.ask(Question.reverse(seen.ip)))
    if not answer.status.is_known:
        what = f"the reverse DNS name of {seen.ip}"
        return couldnt_tell("ptr.couldnt-tell", answer, what, ("ptr.missing", "ptr.mismatch"))
    if answer.status is not Status.OK or not answer.records:
        return failed("ptr.missing", f"your mail server {seen.ip} has no reverse DNS name")
    names = [name for record in answer.records if (name := to_a_labels(record)) is not None]
    if not names:
        text = f"the reverse DNS name of your mail server {seen.ip} is no host name"
        return failed("ptr.mismatch", text)
    type_ = "AAAA" if ":" in seen.ip else "A"
    names = list(dict.fromkeys(names))[:MAX_NAMES]
    back = await ask_all(lookup, [Question.of(name, type_) for name in names])
    if not any(seen.ip in found.records for found in back):
        back = await confirm_all(lookup, back)
    for name, found in zip(names, back, strict=True):
        if seen.ip in found.records:
            text = f"{seen.ip} is {name}{denied([answer, found])}"
            return Found(passed("ptr.missing", text).findings, ptr=name)
    # One name that leads back would be enough, so a silent one may have been it.
    silent = next((found for found in back if not found.status.is_known), None)
    if silent is not None:
        what = f"whether {names[0]} leads to {seen.ip}"
        return couldnt_tell("ptr.couldnt-tell", silent, what, ("ptr.mismatch",))
    text = f"the reverse DNS name {names[0]} of your mail server does not lead back to {seen.ip}"
    return failed("ptr.mismatch", text)
