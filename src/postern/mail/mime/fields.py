"""What a part's header says of it, in every way that a mail program might read it.

Source: RFC 2045 §5, §6, RFC 2046 §5.1, RFC 2183 §2.3, RFC 2231 §3, §4, RFC 2047 (which forbids
encoded-words in parameters; they are common there). Programs find parameters without separators,
in comments, twice, in quotes that never end: so a parameter is looked for by its name anywhere.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from postern.mail.message.header import HeaderScan, fields_pattern
from postern.mail.message.text import decode_octets, decode_words
from postern.mail.mime.names import last_of
from postern.mail.mime.part import Encoding, Fault

MAX_BOUNDARY_BYTES = 70
MAX_READINGS = 24
"""Names of one part, or boundaries; programs write one, and it has a few readings."""
_MAX_VALUE_BYTES = 64 * 1024
_MAX_EXAMINED_BYTES = 200_000
"""Octets of one field that are looked at, those that several readings share counted for each."""
_PARAMETER_COSTS = 150
"""What it takes to look at one, in octets: more than a thousand stand in no honest header."""
_MAX_TYPES = 8
_MAX_REMEMBERED_BYTES = 200
_END_BYTES = 2000
_MAX_KEPT_BOUNDARY_BYTES = 500

WANTED = fields_pattern(b"content-type", b"content-disposition", b"content-transfer-encoding")
_FOLD = re.compile(rb"\r?\n(?=[ \t])|\r\n")
_COMMENT = re.compile(rb"\([^()]*+\)")
_MAX_COMMENT_DEPTH = 5
_TYPE = re.compile(rb"[\s;\"]*+([^\s;/\"=]+)(?:\s*/\s*([^\s;/\"]+))?")
_NAME = re.compile(rb"(filename|name)[ \t]*(\*[0-9]{0,4}\*?)?[ \t]*=[ \t]*", re.IGNORECASE)
_NAMED = re.compile(rb"name", re.IGNORECASE)
_BOUNDARY = re.compile(rb"(boundary)[ \t]*(\*[0-9]{0,4}\*?)?[ \t]*=[ \t]*", re.IGNORECASE)
_QUOTED = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*)"?', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_BREAK = re.compile(rb"[\r\n]")
_CHARSET = re.compile(rb"([^']*)'[^']*'(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entity:
    """One header, as far as it is about the body.

    ``types``: lower case, the first counts where one must; empty: text/plain. ``boundaries``: each
    reading, longest first.
    """

    types: tuple[str, ...]
    names: tuple[str, ...]
    encodings: tuple[Encoding, ...]
    boundaries: tuple[bytes, ...]
    faults: tuple[Fault, ...]

    @property
    def is_multipart(self) -> bool:
        """True when any reading has parts in it."""
        return any(one.startswith("multipart") for one in self.types)

    @property
    def is_text(self) -> bool:
        """True when it is to be shown as it is: nobody opens it as a file unless it has a name."""
        return bool(self.types) and all(one.startswith("text/") for one in self.types)

    @property
    def is_message(self) -> bool:
        """True when any reading is a whole message."""
        return any(one in _MESSAGES for one in self.types)


_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})


def read_entity(scan: HeaderScan) -> Entity | None:
    """What the header says; None when it says nothing of its body."""
    said = scan.pick(WANTED)
    if not said:
        return None
    if sum(len(value) for _, value in said) <= _MAX_REMEMBERED_BYTES:
        return _remembered(tuple(said))
    return _read(said)


@lru_cache(maxsize=500)
def _remembered(said: tuple[tuple[bytes, bytes], ...]) -> Entity:
    """Most mail says ``text/plain; charset=utf-8`` and the like."""
    return _read(said)


def _read(said: Iterable[tuple[bytes, bytes]]) -> Entity:
    raw: dict[bytes, list[bytes]] = {}
    is_too_long = False
    for name, value in said:
        plain = _FOLD.sub(b"", value[:_MAX_VALUE_BYTES])
        is_too_long = is_too_long or len(value) > _MAX_VALUE_BYTES or _is_deep(plain)
        raw.setdefault(name.lower(), []).append(plain)
    about = raw.get(b"content-type", [])
    encoded = raw.get(b"content-transfer-encoding", [])
    types = tuple(dict.fromkeys(_type(one) for one in about))
    encodings = tuple(dict.fromkeys(_encoding(one) for one in encoded)) or (Encoding.NONE,)
    faults: list[Fault] = []
    has_parts = any(one.startswith("multipart") for one in types)
    boundaries = _boundaries(about, faults) if has_parts else ()
    if len(types) > 1:
        faults.append(Fault.TWO_TYPES)
    if len(encodings) > 1:
        faults.append(Fault.TWO_ENCODINGS)
    names = _names([*raw.get(b"content-disposition", []), *about], faults)
    if len(names) > MAX_READINGS:
        faults.append(Fault.MANY_NAMES)
    if is_too_long or len(types) > _MAX_TYPES:
        faults.append(Fault.HEADER_TOO_LONG)
    return Entity(types[:_MAX_TYPES], names[:MAX_READINGS], encodings, boundaries, tuple(faults))


def _without_comments(value: bytes) -> bytes:
    for _ in range(_MAX_COMMENT_DEPTH):
        if b"(" not in value:
            break
        value = _COMMENT.sub(b"", value)
    return value


def _is_deep(value: bytes) -> bool:
    """True when comments lie deeper in one another than is read."""
    if value.count(b"(") <= _MAX_COMMENT_DEPTH:
        return False
    return _COMMENT.search(_without_comments(value)) is not None


def _type(value: bytes) -> str:
    found = _TYPE.match(_without_comments(value))
    if found is None:
        return ""
    whole = found[1] if found[2] is None else found[1] + b"/" + found[2]
    return whole[:100].decode("latin-1").lower()


def _encoding(value: bytes) -> Encoding:
    said = _without_comments(value).strip(b" \t\"';").lower()
    if b"base64" in said or said.startswith(b"b64"):
        return Encoding.BASE64
    if b"quoted" in said:
        return Encoding.QUOTED
    return Encoding.UU if b"uu" in said else Encoding.NONE


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One parameter as found: ``mark`` is RFC 2231's ``*``, ``*0``, ``*0*``, or nothing."""

    name: bytes
    mark: bytes
    readings: tuple[bytes, ...]


def _boundaries(values: list[bytes], faults: list[Fault]) -> tuple[bytes, ...]:
    said: set[bytes] = set()
    found: dict[bytes, None] = {}
    for value in values:
        said_here: list[bytes] = []
        for text in _texts(value):
            parameters = _parameters(text, _BOUNDARY, faults)
            for one in parameters:
                if not one.mark:
                    found |= dict.fromkeys(one.readings)
            joined = [octets for octets, _ in _joined(parameters)]
            found |= dict.fromkeys(joined)
            # What they say without their comments: other readings are misreadings, not lies.
            said_here = [one.readings[0] for one in parameters if not one.mark] + joined[-1:]
        said |= {one.rstrip(b" \t") for one in said_here}
    bare = [one[:_MAX_KEPT_BOUNDARY_BYTES].rstrip(b" \t") for one in found]
    kept = dict.fromkeys([one for one in bare if one and not _BREAK.search(one)][:MAX_READINGS])
    if len(said - {b""}) > 1:
        faults.append(Fault.TWO_BOUNDARIES)
    if any(len(one) > MAX_BOUNDARY_BYTES for one in kept):
        faults.append(Fault.LONG_BOUNDARY)
        # Some programs compare no more than the standard allows.
        kept |= {one[:MAX_BOUNDARY_BYTES].rstrip(b" \t"): None for one in kept}
    return tuple(sorted(kept, key=len, reverse=True))


def _names(values: list[bytes], faults: list[Fault]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in values:
        if _NAMED.search(value) is None:
            continue
        for text in _texts(value):
            parameters = _parameters(text, _NAME, faults)
            for one in parameters:
                if not one.mark:
                    found |= dict.fromkeys(_text(octets) for octets in one.readings)
            for octets, charset in _joined(parameters):
                found[decode_octets(_ends_of(octets), charset)] = None
                found[_text(octets)] = None
    cut = (one[:1000] if "\x00" in one else last_of(one) for one in found if one.strip())
    return tuple(dict.fromkeys(cut))


def _texts(value: bytes) -> tuple[bytes, ...]:
    """A value as it is and without its comments."""
    return (value, _without_comments(value)) if b"(" in value else (value,)


def _ends_of(octets: bytes) -> bytes:
    """A long name without its middle: its end counts, and its beginning up to NUL."""
    return octets if len(octets) <= 2 * _END_BYTES else octets[:_END_BYTES] + octets[-_END_BYTES:]


def _text(octets: bytes) -> str:
    octets = _ends_of(octets)
    return decode_words(octets) if b"=?" in octets else decode_octets(octets, "")


def _parameters(value: bytes, pattern: re.Pattern[bytes], faults: list[Fault]) -> list[_Parameter]:
    """Every parameter called so, wherever it stands."""
    found: list[_Parameter] = []
    left = _MAX_EXAMINED_BYTES
    for match in pattern.finditer(value):
        readings = _readings(value, match.end())
        # Each of them could be as long as what is left of the field.
        left -= sum(map(len, readings)) + _PARAMETER_COSTS
        if left <= 0:
            faults.append(Fault.HEADER_TOO_LONG)
            break
        found.append(_Parameter(match[1].lower(), match[2] or b"", readings))
    return found


def _readings(value: bytes, position: int) -> tuple[bytes, ...]:
    """What stands behind the equals sign, as different programs take it; the standard's first."""
    end = value.find(b";", position)
    rest = value[position : len(value) if end < 0 else end].strip()
    quoted = _QUOTED.match(value, position)
    if quoted is None:
        first = rest.split(None, 1)[0] if rest else b""
        return (first, rest) if first != rest else (rest,)
    raw = quoted[1]
    found = [_ESCAPED.sub(rb"\1", raw)]
    if b"\\" in raw:
        found.append(raw)
    if quoted.end() < len(value) and value[quoted.end()] not in b"; \t":
        found.append(rest.replace(b'"', b""))
    return tuple(found)


def _joined(parameters: list[_Parameter]) -> list[tuple[bytes, str]]:
    """Parameters in pieces or percent-encoded (RFC 2231): octets and the charset they are in.

    Pieces are joined in the order that they stand in, and last in that of their numbers.
    """
    sets: dict[bytes, list[tuple[int, bytes, bool]]] = {}
    for one in parameters:
        if one.mark:
            number = one.mark.strip(b"*")
            key = one.name if number else one.name + b"*"
            piece = (int(number or b"0"), one.readings[0], one.mark.endswith(b"*"))
            sets.setdefault(key, []).append(piece)
    found: list[tuple[bytes, str]] = []
    for key, pieces in sets.items():
        if key.endswith(b"*"):  # each is whole in itself
            found += [_join([piece]) for piece in pieces]
            continue
        found += [_join(pieces), _join(sorted(pieces, key=_number))]
    return found


def _number(piece: tuple[int, bytes, bool]) -> int:
    return piece[0]


def _join(pieces: list[tuple[int, bytes, bool]]) -> tuple[bytes, str]:
    charset = ""
    joined: list[bytes] = []
    for _, octets, is_encoded in pieces:
        text = octets
        marked = _CHARSET.fullmatch(text) if not joined and is_encoded else None
        if marked is not None:
            charset, text = marked[1][:40].decode("latin-1").lower(), marked[2]
        joined.append(unquote_to_bytes(text) if is_encoded else text)
    return b"".join(joined), charset
