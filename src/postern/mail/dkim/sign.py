"""Signs messages: one complete DKIM-Signature field, to be put in front.

Fields that readers act on are signed once more than they stand ("oversigned"), so that nobody can
add a second From or Subject to what we signed (RFC 6376 §8.15). ``l=`` is never used.

Source: RFC 6376 §3.5, §3.7, §5; RFC 8301 §3.1; RFC 8463 §3.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from postern.mail.dkim.body import BodyForm, BodyHashes
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.fields import HeaderFields, emptied_field
from postern.mail.dkim.private import PrivateKey

OVERSIGNED = (
    b"From", b"Reply-To", b"Subject", b"Date", b"To", b"Cc", b"Message-ID", b"MIME-Version",
    b"Content-Type", b"Content-Transfer-Encoding",
)  # fmt: skip
"""Fields that are signed wherever they stand, and may not be added later."""
SIGNED = (
    b"Sender", b"In-Reply-To", b"References", b"Resent-Date", b"Resent-From", b"Resent-To",
    b"Resent-Cc", b"Resent-Message-ID", b"List-Id", b"List-Help", b"List-Unsubscribe",
    b"List-Unsubscribe-Post", b"List-Subscribe", b"List-Post", b"List-Owner", b"List-Archive",
)  # fmt: skip
"""Fields that are signed where they stand (RFC 6376 §5.4.1, RFC 8058 §4); lists may add theirs."""

_LINE_OCTETS = 76
_MOST_OF_ONE_NAME = 20  # further fields of a name stay unsigned, and h= stays short
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")
# Without what the quoted-printable of tags would have to encode (RFC 6376 §2.11).
_IDENTITY = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~.-]{0,64}@([A-Za-z0-9.-]{1,253})")
_FIELD_NAME = re.compile(rb"[!-9;-~]{1,76}")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one domain with one key.

    ``domain`` and ``selector`` are A-labels. ``lifetime_s``: seconds until the signature expires
    (None: never). ``identity``: i=, an address or ``@`` and a name within the domain; empty: left
    out.

    Raises:
        ValueError: a name holds something that would break out of the field.
    """

    domain: str
    selector: str
    key: PrivateKey
    header_canon: Canon = Canon.RELAXED
    body_canon: Canon = Canon.RELAXED
    oversigned: tuple[bytes, ...] = OVERSIGNED
    signed: tuple[bytes, ...] = SIGNED
    lifetime_s: int | None = None
    identity: str = ""

    def __post_init__(self) -> None:
        for name in (self.domain, self.selector):
            if _NAME.fullmatch(name) is None:
                raise ValueError("the domain or selector is not a name of A-labels")
        if self.identity:
            match = _IDENTITY.fullmatch(self.identity)
            if match is None or not f".{match[1]}".endswith(f".{self.domain}"):
                raise ValueError("the identity is not an address within the domain")
        names = (*self.oversigned, *self.signed)
        if any(_FIELD_NAME.fullmatch(name) is None for name in names):
            raise ValueError("the fields to sign have something that is no field name")
        if all(name.lower() != b"from" for name in names):  # RFC 6376 §5.4
            raise ValueError("the fields to sign must include From")

    @property
    def form(self) -> BodyForm:
        """What the body's hasher must be made for."""
        return BodyForm(self.body_canon)

    def names(self, fields: HeaderFields) -> list[bytes]:
        """What h= names in this message."""
        names: list[bytes] = []
        for name in self.oversigned:
            names += [name] * (min(fields.count(name.lower()), _MOST_OF_ONE_NAME) + 1)
        for name in self.signed:
            names += [name] * min(fields.count(name.lower()), _MOST_OF_ONE_NAME)
        return names

    def sign(self, fields: HeaderFields, hashes: BodyHashes, now: float) -> bytes:
        """A complete DKIM-Signature field with its CR LF; empty for a header that is overlong.

        Args:
            fields: the header as it will be sent, without the new field.
            hashes: of the body as it will be sent; must include ``form``.
            now: seconds since 1970.
        """
        if fields.is_overlong:
            return b""
        words = [b" v=1;"]
        if self.identity:
            words.append(b" i=" + self.identity.encode("ascii") + b";")
        if self.lifetime_s is not None:
            words.append(b" x=%d;" % (int(now) + self.lifetime_s))
        return self.sign_as(b"DKIM-Signature", words, fields, hashes, now)

    def sign_as(
        self, name: bytes, words: list[bytes], fields: HeaderFields, hashes: BodyHashes, now: float
    ) -> bytes:
        """A field like DKIM-Signature: ``words`` are its first tags, blanks in front."""
        names = self.names(fields)
        body_hash = hashes.of(self.form).digest or b""
        canons = f"{self.header_canon.value}/{self.body_canon.value}"
        opening = folded(
            name + b":",
            [
                *words,
                b" a=" + self.key.algorithm.encode("ascii") + b";",
                b" c=" + canons.encode("ascii") + b";",
                *self.whose(now),
                *_list_words(names),
                b" bh=" + b64encode(body_hash) + b";",
                b" b=",
            ],
        )
        signed = [
            fields.canonical(place, self.header_canon)
            for place in fields.select(name.lower() for name in names)
        ]
        signed.append(emptied_field(opening, self.header_canon))
        return self.seal(opening, b"".join(signed))

    def whose(self, now: float) -> list[bytes]:
        """The tags that name the key, and the time."""
        return [
            b" d=" + self.domain.encode("ascii") + b";",
            b" s=" + self.selector.encode("ascii") + b";",
            b" t=%d;" % int(now),
        ]

    def seal(self, opening: bytes, signed: bytes) -> bytes:
        """A field that ends in ``b=``, with the signature over ``signed`` and its CR LF."""
        text = b64encode(self.key.sign(hashlib.sha256(signed).digest()))
        first = max(0, _LINE_OCTETS - len(opening) + opening.rfind(b"\n") + 1)
        pieces = [opening + text[:first]]
        rest = text[first:]
        step = _LINE_OCTETS - 1
        pieces += [rest[start : start + step] for start in range(0, len(rest), step)]
        return b"\r\n\t".join(pieces) + b"\r\n"


def sign_all(
    signers: Iterable[Signer], fields: HeaderFields, hashes: BodyHashes, now: float
) -> bytes:
    """The fields of several signers, who share one body hash and don't sign each other's."""
    return b"".join(signer.sign(fields, hashes, now) for signer in signers)


def folded(start: bytes, words: Iterable[bytes]) -> bytes:
    """Words put behind ``start``, a new line begun before one that would make a line too long.

    A word's own leading blank is left out at the beginning of a line, which has a tab already.
    """
    lines: list[bytes] = []
    line = start
    for word in words:
        if len(line) + len(word) > _LINE_OCTETS:
            lines.append(line)
            line = b"\t" + word.lstrip(b" ")
        else:
            line += word
    lines.append(line)
    return b"\r\n".join(lines)


def _list_words(names: list[bytes]) -> list[bytes]:
    """h= in words that may stand on lines of their own."""
    words = [name + b":" for name in names[:-1]]
    words.append(names[-1] + b";")
    words[0] = b" h=" + words[0]
    return words
