"""Reading an Authentication-Results field that somebody else wrote.

A result that is off the grammar is left out and the next one read, for many in the wild carry
things of their own (``compauth=pass reason=100``, ``action=none``). What can't be read at all is
None.

Nothing says here whether to believe it: that depends on who wrote it (RFC 8601 §4.1), see
``forged``.

Source: RFC 8601 §2.2, §2.6.
"""

from dataclasses import dataclass

from postern.mail.authres.reader import Reader, one_line
from postern.mail.authres.results import VERSION, AuthenticationResults, MethodResult, Property

MAX_RESULTS = 100
MAX_PROPERTIES = 50

_MAX_VALUE_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class Head:
    """What a field begins with: who wrote it, in which version of the grammar."""

    authserv_id: str
    version: int


def parse_results(value: bytes) -> AuthenticationResults | None:
    """A raw field value; None when it has no authserv-id, ends amid a word, or is over 32 kB.

    Methods, results, types and names come in lower case. Of a version that is not known only the
    head is read (RFC 8601 §2.6).
    """
    if len(value) > _MAX_VALUE_BYTES:
        return None
    reader = Reader(one_line(value))
    head = read_head(reader)
    if head is None:
        return None
    results: list[MethodResult] = []
    while head.version == VERSION and len(results) < MAX_RESULTS and reader.take(";"):
        result = _read_result(reader)
        if result is not None:
            results.append(result)
        reader.skip_result()
    if reader.is_broken:
        return None
    return AuthenticationResults(head.authserv_id, tuple(results), head.version)


def read_head(reader: Reader) -> Head | None:
    """Authserv-id and version, up to the first semicolon; None when there is something else."""
    authserv_id = reader.word()
    if authserv_id is None:
        return None
    version = reader.number()
    reader.skip()
    if reader.is_broken or not (reader.at_end or reader.sees(";")):
        return None
    return Head(authserv_id, VERSION if version is None else version)


def _read_result(reader: Reader) -> MethodResult | None:
    """One result from behind its semicolon on; None for ``none`` and for what is malformed."""
    method = reader.keyword()
    version: int | None = VERSION
    if reader.take("/"):
        version = reader.number()
    if not method or version is None or not reader.take("="):
        return None
    result = reader.keyword()
    if not result:
        return None
    reader.comments.clear()
    reader.skip()
    comment = reader.comments[0] if reader.comments else ""
    properties: list[Property] = []
    reason = ""
    while len(properties) < MAX_PROPERTIES and (name := reader.keyword()):
        if reader.take("."):
            item = _read_property(reader, name)
            if item is None:
                break
            properties.append(item)
        elif reader.take("="):
            text = reader.value()
            if name == "reason":
                reason = text or ""
        else:
            break
    return MethodResult(method, result, tuple(properties), reason, comment, version)


def _read_property(reader: Reader, type_: str) -> Property | None:
    """``name=value`` from behind the dot on."""
    name = reader.keyword()
    if not name or not reader.take("="):
        return None
    value = reader.value()
    return None if value is None else Property(type_, name, value)
