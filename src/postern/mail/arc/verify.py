"""Validates ARC chains: plan, ask for keys, hash the body, judge. The steps are those of DKIM.

1. ``plan_arc`` reads the chain as soon as the header is there.
2. ``postern.mail.dkim.verify.ask_for_keys`` gets its keys, best together with DKIM's.
3. The body goes through a ``BodyHasher`` that was made for the plan's ``forms`` too.
4. ``judge_arc`` puts them together; or ``verify_arc`` does steps 2 and 4.

Source: RFC 8617 §5.2.
"""

import hashlib
from dataclasses import dataclass

from postern.mail.arc.chain import ArcSet, Chain, ChainFlaw, read_chain
from postern.mail.arc.report import ArcReport, ArcResult, Sealer
from postern.mail.dkim.body import BodyForm, BodyHashes
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.result import DkimResult, SignatureResult
from postern.mail.dkim.signature import Signature
from postern.mail.dkim.verify import (
    SKEW_S,
    Keys,
    ask_for_keys,
    distinct,
    flawed_result,
    judge_signature,
)
from postern.mail.dns import Inquiry, Question


@dataclass(frozen=True, slots=True)
class ArcPlan:
    """What is to be found out about a message's chain, before its body was seen."""

    fields: HeaderFields
    chain: Chain | ChainFlaw | None
    now: float

    @property
    def sets(self) -> tuple[ArcSet, ...]:
        """The sets whose signatures are worth a look: none, where the structure fails already."""
        if not isinstance(self.chain, Chain) or _structure_flaw(self.chain) is not None:
            return ()
        return self.chain.sets

    @property
    def forms(self) -> frozenset[BodyForm]:
        """What a ``BodyHasher`` must be made for."""
        return frozenset(one.message.form for one in self.sets if one.message.flaw is None)

    @property
    def questions(self) -> tuple[Question, ...]:
        """Where the keys are, each once."""
        signatures = [one.message for one in self.sets] + [one.seal.signature for one in self.sets]
        return distinct(one.question for one in signatures if one.flaw is None)


def plan_arc(fields: HeaderFields, now: float) -> ArcPlan:
    """The chain of a message, read.

    Args:
        fields: the whole header, as it came in.
        now: seconds since 1970.
    """
    return ArcPlan(fields, read_chain(fields), now)


def verify_arc(plan: ArcPlan, hashes: BodyHashes) -> Inquiry[ArcReport]:
    """Ask for the keys and judge, for callers that have the whole body already."""
    keys = yield from ask_for_keys(plan.questions)
    return judge_arc(plan, keys, hashes)


def judge_arc(plan: ArcPlan, keys: Keys, hashes: BodyHashes) -> ArcReport:
    """The chain's result."""
    chain = plan.chain
    if chain is None:
        return ArcReport(ArcResult.NONE, "the message has no ARC chain")
    if isinstance(chain, ChainFlaw):
        text = f"the ARC fields are no chain: {chain.text}"
        return ArcReport(ArcResult.FAIL, text, chain.instance)
    sealers = tuple(
        Sealer(one.instance, one.seal.signature.domain, one.seal.signature.selector, one.seal.cv,
               one.payload)
        for one in chain.sets
    )  # fmt: skip
    flaw = _structure_flaw(chain)
    if flaw is not None:
        return ArcReport(ArcResult.FAIL, flaw.text, flaw.instance, sealers)
    newest = chain.sets[-1]
    message = _judge_message(plan, newest, keys, hashes)
    if message.result not in {DkimResult.PASS, DkimResult.TEMPERROR}:
        text = f"the message signature of {_called(newest)} does not pass: {message.text}"
        return ArcReport(ArcResult.FAIL, text, newest.instance, sealers, None, message)
    # What DNS did not tell waits until it is sure that nothing else fails.
    untold = (newest, message) if message.result is DkimResult.TEMPERROR else None
    for one, seal in _judge_seals(plan, chain, keys):
        if seal.result is DkimResult.TEMPERROR:
            untold = untold or (one, seal)
        elif seal.result is not DkimResult.PASS:
            text = f"the seal of {_called(one)} does not pass: {seal.text}"
            return ArcReport(ArcResult.FAIL, text, one.instance, sealers, None, seal)
    if untold is not None:
        one, found = untold
        text = f"the chain could not be validated: {found.text}"
        return ArcReport(ArcResult.TEMPERROR, text, one.instance, sealers, None, found)
    return ArcReport(
        ArcResult.PASS,
        f"the chain is whole, last sealed by {newest.seal.signature.domain}",
        newest.instance,
        sealers,
        _oldest_pass(plan, chain, keys, hashes),
        message,
    )


def _structure_flaw(chain: Chain) -> ChainFlaw | None:
    """What no signature could mend: a chain that was broken before, or seals that don't fit."""
    newest = chain.sets[-1]
    highest = newest.instance
    if newest.seal.cv == "fail":
        text = f"{_called(newest)} found the chain broken already"
        return ChainFlaw(text, highest, highest)
    for one in reversed(chain.sets):
        if one.seal.signature.flaw is not None:
            text = f"the seal of {_called(one)} does not pass: {one.seal.signature.flaw.text}"
            return ChainFlaw(text, one.instance, highest)
        wanted = "none" if one.instance == 1 else "pass"
        if one.seal.cv != wanted:
            text = f"the seal of {_called(one)} says cv={one.seal.cv} where only {wanted} fits"
            return ChainFlaw(text, one.instance, highest)
    return None


def _judge_message(plan: ArcPlan, one: ArcSet, keys: Keys, hashes: BodyHashes) -> SignatureResult:
    """The result of one set's ARC-Message-Signature."""
    message = one.message
    flaw = message.flaw or message.timing_flaw(plan.now, SKEW_S)
    if flaw is not None:
        return flawed_result(message, flaw)
    signed = plan.fields.signed_octets(message.names, one.message_place, message.header_canon)
    digest = hashlib.sha256(signed).digest()
    return judge_signature(message, digest, keys.answer(message.question), hashes.of(message.form))


def _judge_seals(plan: ArcPlan, chain: Chain, keys: Keys) -> list[tuple[ArcSet, SignatureResult]]:
    """The results of the seals, the newest first, up to the first that fails."""
    found = []
    for one, digest in reversed(_sealed_digests(plan.fields, chain)):
        seal: Signature = one.seal.signature
        result = judge_signature(seal, digest, keys.answer(seal.question), None)
        found.append((one, result))
        if result.result not in {DkimResult.PASS, DkimResult.TEMPERROR}:
            break
    return found


def _sealed_digests(fields: HeaderFields, chain: Chain) -> list[tuple[ArcSet, bytes]]:
    """What each seal was made over: all sets up to its own, itself last (RFC 8617 §5.1.1).

    One running hash serves all of them, so that 50 sets cost no more than the last of them.
    """
    running = hashlib.sha256()
    digests = []
    for one in chain.sets:
        *others, own = (fields.canonical(place, Canon.RELAXED) for place in one.places)
        running.update(b"".join(others))
        sealed = running.copy()
        sealed.update(fields.emptied(one.seal.place))
        digests.append((one, sealed.digest()))
        running.update(own)
    return digests


def _oldest_pass(plan: ArcPlan, chain: Chain, keys: Keys, hashes: BodyHashes) -> int | None:
    """See ``ArcReport.oldest_pass``; the newest message signature is known to pass."""
    for one in reversed(chain.sets[:-1]):
        result = _judge_message(plan, one, keys, hashes).result
        if result is DkimResult.TEMPERROR:
            return None
        if result is not DkimResult.PASS:
            return one.instance + 1
    return 0


def _called(one: ArcSet) -> str:
    """A set in words: its number and whose it is."""
    domain = one.seal.signature.domain
    return f"set {one.instance}" + (f" by {domain}" if domain else "")
