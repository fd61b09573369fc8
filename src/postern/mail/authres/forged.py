"""Fields that say they are ours and are not: to be taken out before ours is put in front.

A mail program believes what carries our name, so a field that came from outside under it is a
forgery whatever it says (RFC 8601 §5). Removed are fields

- that name one of our authserv-ids, in any case, quoted, behind comments, with a version, as
  A-labels or U-labels;
- that carry a version which is not known: nobody can tell what they say (RFC 8601 §5, last
  paragraph);
- that are malformed and have our name in them: some reader may well find it.

Others are evidence, perhaps signed, and stay. The marks that only we make (``_MARKS``) are removed
whatever they say.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from unicodedata import normalize

from postern.mail.address import to_a_labels
from postern.mail.authres.parse import read_head
from postern.mail.authres.reader import Reader, one_line
from postern.mail.authres.results import VERSION
from postern.mail.message.header import HeaderScan, Range

_NAME = b"authentication-results"
_MARKS = tuple(
    b"x-postern-" + mark for mark in (b"junk", b"released", b"spam", b"unscanned", b"couldnt-tell")
)
_MAX_ID_CHARS = 512
_WORD = re.compile(r"[^\s;()<>@,:\\\"/\[\]?=]++")


def forged_fields(scan: HeaderScan, authserv_ids: Collection[str]) -> list[Range]:
    """The ranges of all fields that claim to be from one of these, whole, in order, apart.

    For ``without``. For mail from outside only: a field from a server of ours is no forgery.
    """
    if not scan.remove((_NAME, *_MARKS)):
        return []  # as most mail: one look costs less than two
    return sorted(scan.remove(_MARKS) + _forged_results(scan, authserv_ids))


def _forged_results(scan: HeaderScan, authserv_ids: Collection[str]) -> list[Range]:
    ranges = scan.remove((_NAME,))
    ours = frozenset(id_key(authserv_id) for authserv_id in authserv_ids)
    # ``all`` stops after 5,000 fields and ``remove`` does not: nobody adds so many in good faith.
    values = scan.all(_NAME)
    return [
        found
        for index, found in enumerate(ranges)
        if index >= len(values) or claims(values[index], ours)
    ]


def claims(value: bytes, ours: frozenset[str]) -> bool:
    """True when a raw field value must go; ``ours`` are spelt as by ``id_key``."""
    reader = Reader(one_line(value))
    head = read_head(reader)
    if head is not None:
        return head.version != VERSION or _is_ours(head.authserv_id, ours)
    text = reader.text if reader.is_broken else reader.text.partition(";")[0]
    return any(_is_ours(word, ours) for word in _WORD.findall(text))


def _is_ours(word: str, ours: frozenset[str]) -> bool:
    """True when a word, however it is spelt, is one of our ids."""
    return len(word) <= _MAX_ID_CHARS and id_key(word) in ours


@lru_cache(maxsize=1_024)
def id_key(authserv_id: str) -> str:
    """The one spelling in which ids are compared: A-labels where it is a domain, else folded.

    RFC 8601 §5 compares U-labels, which comes to the same. Dots around it do not make another name
    of it for every reader, and so not for us.
    """
    name = authserv_id.strip().strip(".").strip()
    return to_a_labels(name) or normalize("NFKC", name).casefold()
