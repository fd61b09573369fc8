"""A DKIM-Signature field as a value, or what is wrong with it (RFC 6376 §3.5, §6.1.1).

The tags are read by ``TagReader``, which ARC's two kinds of signature use as well. It remembers the
first thing that is wrong and goes on with empty values, so that what could be read can be shown.
"""

import re
from dataclasses import dataclass

from postern.mail.address import MAX_LABEL_BYTES, has_long_label, to_a_labels
from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.result import Cause, DkimResult, Flaw
from postern.mail.dkim.tags import TagFlaw, read_base64, read_tags, without_blanks
from postern.mail.dns import Question
from postern.mail.message.text import without_controls

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
"""RFC 8301 §3.1, RFC 8463 §3."""

_RETIRED = "rsa-sha1"
_SHA256_OCTETS = 32
_MAX_NAME_CHARS = 253  # RFC 1035 §2.3.4, as text without the final dot
_BEGINS_CHARS = 8  # RFC 6008 §4
_MAX_LOCAL_OCTETS = 256  # as much as is shown
_FIELD_NAME = re.compile(rb"[!-9;-~]+")
_ALGORITHM = re.compile(rb"[A-Za-z0-9-]{1,64}")
_BEGINS = re.compile(rb"[A-Za-z0-9+/=]*")
_NUMBER = re.compile(rb"[0-9]{1,76}")
# Underscores are no host names (RFC 6376 §3.1), but some publish their keys below them.
_SELECTOR = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*"
)
_CANONS = {b"simple": Canon.SIMPLE, b"relaxed": Canon.RELAXED}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature says of itself.

    ``octets`` is the signature proper (b=); ``names`` the signed fields (h=), in lower case and in
    order; ``identity`` is i= or its default. Times are seconds since 1970. ``flaw`` tells why it
    cannot be verified, and then the rest is only what could be read.
    """

    algorithm: str
    octets: bytes
    domain: str
    selector: str
    identity: str = ""
    begins: str = ""
    body_hash: bytes = b""
    header_canon: Canon = Canon.SIMPLE
    body_canon: Canon = Canon.SIMPLE
    names: tuple[bytes, ...] = ()
    limit: int | None = None
    signed_at: int | None = None
    expires_at: int | None = None
    flaw: Flaw | None = None

    @property
    def form(self) -> BodyForm:
        """What of the body it covers."""
        return BodyForm(self.body_canon, self.limit)

    @property
    def question(self) -> Question:
        """Where its key is (RFC 6376 §3.6.2.1)."""
        return Question(f"{self.selector}._domainkey.{self.domain}", "TXT")

    @property
    def key_kind(self) -> str:
        """The k= that its key must have."""
        return self.algorithm.partition("-")[0]

    def timing_flaw(self, now: float, skew_s: float) -> Flaw | None:
        """Why it does not count at this moment; both are left to the verifier (RFC 6376 §3.5)."""
        if self.expires_at is not None and self.expires_at + skew_s < now:
            return Flaw(DkimResult.POLICY, Cause.EXPIRED, "the signature has expired")
        if self.signed_at is not None and self.signed_at - skew_s > now:
            return Flaw(
                DkimResult.POLICY, Cause.FROM_THE_FUTURE, "the signature was made in the future"
            )
        return None


def read_signature(value: bytes) -> Signature:
    """A DKIM-Signature field's value; see ``Signature.flaw``."""
    tags = TagReader(value)
    if tags.flaw is None and tags.needed(b"v") not in {b"", b"1"}:
        tags.note(Cause.VERSION, "the signature is of an unknown version of DKIM")
    return read_common(tags, identity=True)


def read_common(tags: "TagReader", *, identity: bool = False) -> Signature:
    """What DKIM-Signature and ARC-Message-Signature have in common (RFC 8617 §4.1.2).

    Args:
        tags: opened on the field's value, perhaps with a flaw already.
        identity: i= is an identity, as in DKIM.
    """
    algorithm = tags.algorithm()
    octets = tags.base64(b"b")
    domain = tags.domain()
    selector = tags.selector(domain)
    body_hash = tags.base64(b"bh")
    if tags.flaw is None and len(body_hash) != _SHA256_OCTETS:
        tags.note(Cause.MALFORMED, "the signature's bh= is not as long as a SHA-256 hash")
    names = tags.names()
    header_canon, body_canon = tags.canons()
    tags.check_query()
    limit = tags.number(b"l")
    signed_at, expires_at = tags.number(b"t"), tags.number(b"x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        tags.note(Cause.MALFORMED, "the signature expires before it was made")
    who = tags.identity(domain) if identity else ""
    return Signature(
        algorithm, octets, domain, selector, who, tags.begins(), body_hash, header_canon,
        body_canon, names, limit, signed_at, expires_at, tags.flaw,
    )  # fmt: skip


class TagReader:
    """Reads the tags of a signature; ``flaw`` is the first thing found wrong.

    Args:
        value: of the field, still folded.
    """

    __slots__ = ("_tags", "flaw")

    def __init__(self, value: bytes) -> None:
        self.flaw: Flaw | None = None
        self._tags: dict[bytes, bytes] = {}
        read = read_tags(value)
        if isinstance(read, TagFlaw):
            self.note(Cause.MALFORMED, f"the signature is malformed: {read.text}")
        else:
            self._tags = read

    def note(self, cause: Cause, text: str, result: DkimResult = DkimResult.PERMERROR) -> None:
        """Remember a flaw, unless there is one."""
        if self.flaw is None:
            self.flaw = Flaw(result, cause, text)

    def has(self, name: bytes) -> bool:
        """True when the tag is there."""
        return name in self._tags

    def needed(self, name: bytes) -> bytes:
        """The value of a tag that must be there and have one."""
        value = self._tags.get(name, b"")
        if not value:
            word = "has an empty" if name in self._tags else "has no"
            self.note(Cause.MALFORMED, f"the signature {word} {name.decode('ascii')}=")
        return value

    def base64(self, name: bytes) -> bytes:
        """The octets of a base64 tag that must be there."""
        value = self.needed(name)
        octets = read_base64(value)
        if octets is None:
            self.note(Cause.MALFORMED, f"the signature's {name.decode('ascii')}= is not base64")
            return b""
        return octets

    def begins(self) -> str:
        """The first characters of b=."""
        text = without_blanks(self._tags.get(b"b", b""))[:_BEGINS_CHARS]
        return text.decode("ascii") if _BEGINS.fullmatch(text) else ""

    def number(self, name: bytes) -> int | None:
        """A number, or None when the tag is not there."""
        value = self._tags.get(name)
        if value is None:
            return None
        if _NUMBER.fullmatch(value) is None:
            self.note(Cause.MALFORMED, f"the signature's {name.decode('ascii')}= is not a number")
            return None
        return int(value)

    def algorithm(self) -> str:
        """The algorithm, in the case it was written in."""
        value = self.needed(b"a")
        if _ALGORITHM.fullmatch(value) is None:
            self.note(Cause.MALFORMED, "the signature's a= is not the name of an algorithm")
            return ""
        algorithm = value.decode("ascii")
        if algorithm == _RETIRED:
            # RFC 8301 §3.1: a signature made so has failed for good.
            self.note(
                Cause.ALGORITHM_RETIRED,
                "the signature uses rsa-sha1, which is not accepted any more",
            )
        elif algorithm not in ALGORITHMS:  # RFC 6376 §3.3.4
            self._not_understood(f"the algorithm {algorithm}")
        return algorithm

    def domain(self) -> str:
        """The signing domain as A-labels (RFC 6376 §3.5 d=; U-labels by RFC 8616 §5)."""
        value = self.needed(b"d")
        domain = _a_labels(value)
        if domain is None or "." not in domain:
            self.note(Cause.MALFORMED, "the signature's d= is not a domain")
            return ""
        return domain

    def selector(self, domain: str) -> str:
        """The selector; it must make a name with the domain."""
        value = self.needed(b"s")
        text = value.decode("ascii").lower() if value.isascii() else _a_labels(value)
        if text is None or len(text) > _MAX_NAME_CHARS or _SELECTOR.fullmatch(text) is None:
            self.note(Cause.MALFORMED, "the signature's s= is not a selector")
            return ""
        too_long = len(text) + len("._domainkey.") + len(domain) > _MAX_NAME_CHARS
        if too_long or (len(text) > MAX_LABEL_BYTES and has_long_label(text)):
            self.note(Cause.MALFORMED, "the signature's s= and d= are too long for a name in DNS")
            return ""
        return text

    def identity(self, domain: str) -> str:
        """The identity, which must be within the signing domain (RFC 6376 §3.5 i=)."""
        value = self._tags.get(b"i")
        if value is None:
            return f"@{domain}"
        local, at, host = without_blanks(value).rpartition(b"@")
        name = _a_labels(host)
        if not at or name is None:
            self.note(Cause.IDENTITY, "the signature's i= is not an identity")
            return ""
        if name != domain and not name.endswith(f".{domain}"):
            self.note(Cause.IDENTITY, "the signature's i= is not within its d=")
        text = without_controls(local[:_MAX_LOCAL_OCTETS].decode("utf-8", "replace"))
        return f"{text}@{name}"

    def names(self) -> tuple[bytes, ...]:
        """The names of the signed fields, in lower case."""
        value = self.needed(b"h")
        # An entry between two colons names no field. The grammar has none; peers let them pass.
        names = [name for part in value.lower().split(b":") if (name := part.strip(b" \t"))]
        if any(_FIELD_NAME.fullmatch(name) is None for name in names):
            self.note(Cause.MALFORMED, "the signature's h= is not a list of field names")
        elif b"from" not in names:  # RFC 6376 §5.4
            self.note(Cause.FROM_NOT_SIGNED, "the signature does not cover the From field")
        return tuple(names)

    def canons(self) -> tuple[Canon, Canon]:
        """How header and body are canonicalised; unknown ways are not ours to judge."""
        value = self._tags.get(b"c")
        if value is None:
            return Canon.SIMPLE, Canon.SIMPLE
        header, slash, body = without_blanks(value).partition(b"/")
        header_canon = _CANONS.get(header)
        body_canon = _CANONS.get(body) if slash else Canon.SIMPLE
        if header_canon is None or body_canon is None:  # RFC 6376 §3.4
            self._not_understood("its c=")
            return Canon.SIMPLE, Canon.SIMPLE
        return header_canon, body_canon

    def check_query(self) -> None:
        """Note a flaw when the key can only be had in ways that are not known here (q=)."""
        value = self._tags.get(b"q")
        if value is not None and b"dns/txt" not in without_blanks(value).lower().split(b":"):
            self._not_understood("its q=")

    def _not_understood(self, what: str) -> None:
        text = f"the signature cannot be verified: {what} is not known here"
        self.note(Cause.NOT_UNDERSTOOD, text, DkimResult.NEUTRAL)


def _a_labels(value: bytes) -> str | None:
    """A domain in a tag as lower-case A-labels, or None when it is not one."""
    try:
        return to_a_labels(value.decode("utf-8"))
    except UnicodeDecodeError:
        return None
