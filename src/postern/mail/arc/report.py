"""What became of a message's ARC chain.

Source: RFC 8617 §4.4 (chain validation status), §5.2; "couldn't tell" is ours.
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.dkim.result import SignatureResult


class ArcResult(Enum):
    """The state of a chain; the values are the words of Authentication-Results."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a word of results, not a secret
    FAIL = "fail"
    TEMPERROR = "temperror"


@dataclass(frozen=True, slots=True)
class Sealer:
    """Who made one set, and what it found: the payload of its ARC-Authentication-Results.

    Worth something only where the chain passes and the domain is one that is believed. ``payload``
    is still folded and holds whatever its sealer wrote.
    """

    instance: int
    domain: str
    selector: str
    cv: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ArcReport:
    """A chain's result.

    ``text`` is one plain sentence without a full stop. ``instance`` is the set that it is about
    (0: none). ``sealers``: the oldest first; empty where the fields make no chain. ``signature``:
    what was found of the signature or seal that decided.

    ``oldest_pass``: 0 when the message signatures of all sets still match, so that nothing was
    changed on its way; else the lowest instance above the last that does not (RFC 8617 §5.2). None
    when the chain does not pass or DNS did not tell.
    """

    result: ArcResult
    text: str
    instance: int = 0
    sealers: tuple[Sealer, ...] = ()
    oldest_pass: int | None = None
    signature: SignatureResult | None = None

    @property
    def cv(self) -> str | None:
        """What the next seal has to say of this chain; None: nothing, as it couldn't be told."""
        return None if self.result is ArcResult.TEMPERROR else self.result.value
