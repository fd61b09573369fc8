"""What became of a message's signatures, in words for machines and for people.

What the standard settles is pass, fail or permerror; what it leaves to the verifier is policy;
what is in a language that we don't speak is neutral; what DNS didn't tell is temperror, and never
a fail.

Source: RFC 8601 §2.7.1 (the results), RFC 6376 §6.1.
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.dns import Question


class DkimResult(Enum):
    """The result of one signature; the values are the words of Authentication-Results."""

    PASS = "pass"  # noqa: S105 - a word of results, not a secret
    FAIL = "fail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Cause(Enum):
    """Why a result is what it is; the values are stable ids."""

    VERIFIED = "verified"
    BODY_CHANGED = "body-changed"
    SIGNATURE_WRONG = "signature-wrong"
    LIMIT_BEYOND_BODY = "limit-beyond-body"
    MALFORMED = "malformed"
    VERSION = "version"
    FROM_NOT_SIGNED = "from-not-signed"
    IDENTITY = "identity"
    ALGORITHM_RETIRED = "algorithm-retired"
    NOT_UNDERSTOOD = "not-understood"
    EXPIRED = "expired"
    FROM_THE_FUTURE = "from-the-future"
    NO_KEY = "no-key"
    KEY_NOT_TOLD = "key-not-told"
    KEY_MALFORMED = "key-malformed"
    KEY_REVOKED = "key-revoked"
    KEY_NOT_FOR_THIS = "key-not-for-this"
    KEY_TOO_SMALL = "key-too-small"
    KEY_TOO_LARGE = "key-too-large"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a signature does not pass: result, cause, and one plain clause without a full stop."""

    result: DkimResult
    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class SignatureResult:
    """One signature's result.

    ``text`` is one plain sentence without a full stop; ``domain`` (d=) and ``selector`` (s=) are
    lower-case A-labels, ``identity`` is i= or its default; all are empty where they could not be
    read. ``key_bits`` is 0 when no key was found. ``question`` is what DNS was asked, if it was.
    ``covers`` is set when a passing signature covers only the first octets of the body (l=), which
    has ``body_length`` of them: more may have been added by anyone. ``testing``: the key's owner
    asks for the signature not to be relied on (t=y, RFC 6376 §3.6.1). ``begins`` is the start of
    the signature's own text, which tells it from others of its domain (RFC 6008).
    """

    result: DkimResult
    cause: Cause
    text: str
    domain: str = ""
    identity: str = ""
    selector: str = ""
    algorithm: str = ""
    key_bits: int = 0
    question: Question | None = None
    covers: int | None = None
    body_length: int | None = None
    testing: bool = False
    begins: str = ""


@dataclass(frozen=True, slots=True)
class DkimReport:
    """The results of the topmost signatures, from the top down.

    ``not_looked_at`` tells how many further ones there were.
    """

    results: tuple[SignatureResult, ...]
    not_looked_at: int = 0

    @property
    def passed(self) -> tuple[SignatureResult, ...]:
        """Those that pass."""
        return tuple(found for found in self.results if found.result is DkimResult.PASS)
