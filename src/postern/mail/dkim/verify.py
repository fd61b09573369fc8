"""Verifies a message's DKIM signatures: plan, ask for keys, hash the body, judge.

1. ``plan_dkim`` reads the signatures as soon as the header is there.
2. ``ask_for_keys`` is an ``Inquiry``: all keys at once, while the body still comes in.
3. The body goes through one ``BodyHasher`` made for the plan's ``forms`` (and ARC's, and a
   signer's).
4. ``judge_dkim`` puts the three together; or ``verify_dkim`` does steps 2 and 4.

Source: RFC 6376 §6.1.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from postern.mail.dkim.body import BodyForm, BodyHash, BodyHashes
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.key import KeyFlaw, KeyRecord, read_key_record, usability_flaw
from postern.mail.dkim.result import Cause, DkimReport, DkimResult, Flaw, SignatureResult
from postern.mail.dkim.signature import Signature, read_signature
from postern.mail.dns import Answer, Inquiry, Question, Status

MAX_SIGNATURES = 8
"""Further signatures of a message are counted and not looked at."""
SKEW_S = 900.0
"""How far a signer's clock may be from ours before t= and x= count."""

_MAX_RECORDS = 4  # RFC 6376 §6.1.2 leaves it to us what to do with several records of one name
_NO_KEY = KeyFlaw("there is none")


@dataclass(frozen=True, slots=True)
class Planned:
    """One signature, the place of its field, and why it is not looked at (None: it is)."""

    place: int
    signature: Signature
    flaw: Flaw | None


@dataclass(frozen=True, slots=True)
class DkimPlan:
    """What is to be found out about a message's signatures, before its body was seen."""

    fields: HeaderFields
    planned: tuple[Planned, ...]
    not_looked_at: int = 0

    @property
    def forms(self) -> frozenset[BodyForm]:
        """What a ``BodyHasher`` must be made for."""
        return frozenset(one.signature.form for one in self.planned if one.flaw is None)

    @property
    def questions(self) -> tuple[Question, ...]:
        """Where the keys are, each once."""
        return distinct(one.signature.question for one in self.planned if one.flaw is None)


@dataclass(frozen=True, slots=True)
class Keys:
    """What DNS said about keys."""

    answers: dict[Question, Answer]

    def answer(self, question: Question) -> Answer:
        """The answer; "couldn't tell" for a question that was not asked."""
        return self.answers.get(question) or Answer(question, Status.TIMEOUT)


def plan_dkim(fields: HeaderFields, now: float) -> DkimPlan:
    """The first signatures of a message, read.

    Args:
        fields: the whole header, as it came in.
        now: seconds since 1970.
    """
    places = fields.places(b"dkim-signature")
    planned = []
    for place in places[:MAX_SIGNATURES]:
        signature = read_signature(fields.value(place))
        flaw = signature.flaw or signature.timing_flaw(now, SKEW_S)
        planned.append(Planned(place, signature, flaw))
    return DkimPlan(fields, tuple(planned), max(0, len(places) - MAX_SIGNATURES))


def ask_for_keys(questions: Iterable[Question]) -> Inquiry[Keys]:
    """The keys, all asked for at once; nothing is asked when there are no questions."""
    asked = distinct(questions)
    answers = (yield asked) if asked else ()
    return Keys(dict(zip(asked, answers, strict=True)))


def judge_dkim(plan: DkimPlan, keys: Keys, hashes: BodyHashes) -> DkimReport:
    """Every signature's result."""
    results = []
    for one in plan.planned:
        if one.flaw is not None:
            results.append(flawed_result(one.signature, one.flaw))
            continue
        signature = one.signature
        signed = plan.fields.signed_octets(signature.names, one.place, signature.header_canon)
        answer = keys.answer(signature.question)
        digest = hashlib.sha256(signed).digest()
        results.append(judge_signature(signature, digest, answer, hashes.of(signature.form)))
    return DkimReport(tuple(results), plan.not_looked_at)


def verify_dkim(plan: DkimPlan, hashes: BodyHashes) -> Inquiry[DkimReport]:
    """Ask for the keys and judge, for callers that have the whole body already."""
    keys = yield from ask_for_keys(plan.questions)
    return judge_dkim(plan, keys, hashes)


def judge_signature(
    signature: Signature, digest: bytes, answer: Answer, body: BodyHash | None
) -> SignatureResult:
    """One signature's result.

    Args:
        signature: without a flaw.
        digest: SHA-256 of what it was made over.
        answer: to its question.
        body: hash of the body in its form; None for a seal, which covers none.
    """
    found = _records(answer)
    if isinstance(found, Flaw):
        return replace(flawed_result(signature, found), question=answer.question)
    best: SignatureResult | None = None
    for record in found:
        result = _judge_with(signature, digest, record, body)
        if result.result is DkimResult.PASS:
            best = result
            break
        if best is None or best.cause is Cause.KEY_MALFORMED:
            best = result
    if best is None:  # an answer without records, which a resolver does not give
        best = _judge_with(signature, digest, _NO_KEY, body)
    return replace(best, question=answer.question)


def flawed_result(signature: Signature, flaw: Flaw) -> SignatureResult:
    """The result that a flaw makes, with what the signature says of itself."""
    return SignatureResult(
        flaw.result,
        flaw.cause,
        flaw.text,
        signature.domain,
        signature.identity,
        signature.selector,
        signature.algorithm,
        begins=signature.begins,
    )


def distinct(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Each question once, in order."""
    return tuple(dict.fromkeys(questions))


def _records(answer: Answer) -> list[KeyRecord | KeyFlaw] | Flaw:
    """The key records of an answer, or why there is none."""
    name = answer.question.name
    if not answer.status.is_known:
        text = f"DNS did not tell the key {name}"
        return Flaw(DkimResult.TEMPERROR, Cause.KEY_NOT_TOLD, text)
    if answer.status is not Status.OK:
        return Flaw(DkimResult.PERMERROR, Cause.NO_KEY, f"there is no key {name} in DNS")
    return [read_key_record(text) for text in answer.records[:_MAX_RECORDS]]


def _judge_with(
    signature: Signature, digest: bytes, record: KeyRecord | KeyFlaw, body: BodyHash | None
) -> SignatureResult:
    """The result by one of the key records."""
    if isinstance(record, KeyFlaw):
        text = f"the key record is of no use: {record.text}"
        return flawed_result(signature, Flaw(DkimResult.PERMERROR, Cause.KEY_MALFORMED, text))
    flaw = usability_flaw(
        record, signature.key_kind, domain=signature.domain, identity=signature.identity
    )
    if flaw is None:
        flaw = _mismatch(signature, digest, record, body)
    result = _passed(signature, body) if flaw is None else flawed_result(signature, flaw)
    bits = 0 if record.key is None else record.key.bits
    return replace(result, key_bits=bits, testing=record.testing)


def _passed(signature: Signature, body: BodyHash | None) -> SignatureResult:
    """The result of a signature that matches."""
    flaw = Flaw(DkimResult.PASS, Cause.VERIFIED, f"the message was signed by {signature.domain}")
    result = flawed_result(signature, flaw)
    limit = signature.limit
    if body is None or limit is None or limit >= body.length:
        return result
    covers = f"but only the first {limit} of the {body.length} octets of its body"
    text = f"{result.text}, {covers}"
    return replace(result, text=text, covers=limit, body_length=body.length)


def _mismatch(
    signature: Signature, digest: bytes, record: KeyRecord, body: BodyHash | None
) -> Flaw | None:
    """What does not match, header or body; the header first, as it vouches for the body's hash."""
    if record.key is None or not record.key.verifies(signature.octets, digest):
        what = "signed header fields were"
        if body is not None and body.digest != signature.body_hash:
            what = "body and signed header fields were"
        text = f"the signature does not match: {what} changed since, or it is by another key"
        return Flaw(DkimResult.FAIL, Cause.SIGNATURE_WRONG, text)
    if body is None or body.digest == signature.body_hash:
        return None
    if body.digest is None:  # RFC 6376 §3.5: l= must not be more than there is
        text = f"the signature covers {signature.limit} octets, the body has {body.length}"
        return Flaw(DkimResult.PERMERROR, Cause.LIMIT_BEYOND_BODY, text)
    text = "the body was changed after it was signed; the signed header fields were not"
    return Flaw(DkimResult.FAIL, Cause.BODY_CHANGED, text)
