"""The ARC sets of a message: three fields for each who sealed it, numbered from 1 (RFC 8617 §4).

Only the structure is looked at here; ``postern.mail.arc.verify`` looks at the signatures.
"""

import re
from dataclasses import dataclass, replace

from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.result import Cause
from postern.mail.dkim.signature import Signature, TagReader, read_common

MAX_SETS = 50
"""RFC 8617 §4.2.1: the highest instance there is."""

SEAL = b"arc-seal"
MESSAGE = b"arc-message-signature"
RESULTS = b"arc-authentication-results"

_CALLED = {
    SEAL: "ARC-Seal",
    MESSAGE: "ARC-Message-Signature",
    RESULTS: "ARC-Authentication-Results",
}
_RESULTS = re.compile(
    rb"[ \t\r\n]*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,2})[ \t\r\n]*+;(.*)", re.DOTALL
)
_NO_TAGS = TagReader(b"")  # authentication results have none
_CV = (b"none", b"pass", b"fail")


@dataclass(frozen=True, slots=True)
class Seal:
    """An ARC-Seal field: its place, what it says, and its judgement on the chain below it (cv=)."""

    place: int
    signature: Signature
    cv: str


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One sealer's three fields.

    ``message`` is the ARC-Message-Signature, ``payload`` what stands behind the instance in its
    ARC-Authentication-Results, still folded.
    """

    instance: int
    seal: Seal
    message_place: int
    message: Signature
    results_place: int
    payload: bytes

    @property
    def places(self) -> tuple[int, int, int]:
        """The fields in the order in which seals cover them (RFC 8617 §5.1.1)."""
        return self.results_place, self.message_place, self.seal.place


@dataclass(frozen=True, slots=True)
class Chain:
    """All sets, the oldest first, with no gap and none twice."""

    sets: tuple[ArcSet, ...]


@dataclass(frozen=True, slots=True)
class ChainFlaw:
    """Why there are ARC fields, but no chain: one plain clause without a full stop.

    ``instance`` is the one concerned, 0 where none can be named. ``highest`` is the highest
    instance that was found.
    """

    text: str
    instance: int
    highest: int


@dataclass(frozen=True, slots=True)
class _Found:
    """One of the three fields: its place, and its tags or its payload."""

    place: int
    tags: TagReader
    payload: bytes = b""


def read_chain(fields: HeaderFields) -> Chain | ChainFlaw | None:
    """The chain of a message; None when it has no ARC field at all."""
    places = {name: fields.places(name) for name in (SEAL, MESSAGE, RESULTS)}
    if not any(places.values()):
        return None
    if any(len(found) > MAX_SETS for found in places.values()):
        return ChainFlaw(f"there are more than {MAX_SETS} sets", 0, MAX_SETS)
    flaws: list[str] = []
    found = {name: _by_instance(fields, name, places[name], flaws) for name in places}
    highest = max((instance for one in found.values() for instance in one), default=0)
    if flaws:
        return ChainFlaw(flaws[0], 0, highest)
    sets = []
    for instance in range(1, highest + 1):
        for name, one in found.items():
            if instance not in one:
                text = f"set {instance} of {highest} has no {_CALLED[name]}"
                return ChainFlaw(text, instance, highest)
        seal, message, results = (one[instance] for one in found.values())
        sets.append(
            ArcSet(
                instance,
                _read_seal(seal),
                message.place,
                _read_message(message.tags),
                results.place,
                results.payload,
            )
        )
    return Chain(tuple(sets))


def _by_instance(
    fields: HeaderFields, name: bytes, places: list[int], flaws: list[str]
) -> dict[int, _Found]:
    """The fields called ``name`` by instance; what is wrong with them is added to ``flaws``."""
    found: dict[int, _Found] = {}
    for place in places:
        value = fields.value(place)
        if name == RESULTS:
            match = _RESULTS.match(value)
            one = _Found(place, _NO_TAGS, match[2] if match else b"")
            instance = int(match[1]) if match else 0
        else:
            one = _Found(place, TagReader(value))
            instance = one.tags.number(b"i") or 0
        if not 1 <= instance <= MAX_SETS:
            why = one.tags.flaw.text if one.tags.flaw else f"its i= is not 1 to {MAX_SETS}"
            flaws.append(f"an {_CALLED[name]} cannot be read: {why}")
        elif instance in found:
            flaws.append(f"set {instance} has more than one {_CALLED[name]}")
        else:
            found[instance] = one
    return found


def _read_seal(found: _Found) -> Seal:
    """An ARC-Seal (RFC 8617 §4.1.3)."""
    tags = found.tags
    algorithm = tags.algorithm()
    octets = tags.base64(b"b")
    cv = tags.needed(b"cv")
    if cv not in _CV:
        tags.note(Cause.MALFORMED, "the seal's cv= is neither none, pass nor fail")
    domain = tags.domain()
    selector = tags.selector(domain)
    signed_at = tags.number(b"t")
    if tags.has(b"h"):  # it covers what it must, and may not say otherwise
        tags.note(Cause.MALFORMED, "the seal has an h=, which no seal may have")
    signature = Signature(
        algorithm,
        octets,
        domain,
        selector,
        begins=tags.begins(),
        signed_at=signed_at,
        flaw=tags.flaw,
    )
    return Seal(found.place, signature, cv.decode("ascii") if cv in _CV else "")


def _read_message(tags: TagReader) -> Signature:
    """An ARC-Message-Signature: DKIM's tags, i= being the instance (RFC 8617 §4.1.2)."""
    signature = read_common(tags)
    if SEAL in signature.names and signature.flaw is None:
        tags.note(Cause.MALFORMED, "the signature covers seals, which it may not")
        return replace(signature, flaw=tags.flaw)
    return signature
