"""The header of one message as the list of its fields, for all signatures that cover some of them.

Signatures name fields and take them from the bottom up: the fields above are those that were put
in front since. A name that stands more often than there are fields covers "no further one".

Source: RFC 6376 §5.4.2, §3.7.
"""

import re
from collections.abc import Iterable

from postern.mail.dkim.canonical import Canon, relaxed_field, without_signature
from postern.mail.message.header import HeaderScan

_FIELD_END = re.compile(rb"\r\n(?![ \t])")


class HeaderFields:
    """A header, split once; canonical forms are made when first asked for, and kept.

    Fields are known by their place: 0 is the topmost.

    Args:
        data: the message, or its first bytes with the whole header.

    Attributes:
        is_overlong: the header is too long to be looked at as a whole, so that no signature of it
            can be verified. It has no fields then.
    """

    __slots__ = ("_fields", "_places", "_relaxed", "is_overlong")

    def __init__(self, data: bytes) -> None:
        scan = HeaderScan(data)
        self.is_overlong = scan.is_overlong
        self._fields: list[bytes] = []
        self._relaxed: dict[int, bytes] = {}
        self._places: dict[bytes, list[int]] = {}
        if self.is_overlong:
            return
        for line in _FIELD_END.split(data[: scan.fields_end]):
            colon = line.find(b":")
            if colon > 0:  # what has no name is no field
                name = line[:colon].rstrip(b" \t").lower()
                self._places.setdefault(name, []).append(len(self._fields))
                self._fields.append(line)

    def places(self, name: bytes) -> list[int]:
        """Where the fields called ``name`` (lower case) are, from the top down."""
        return self._places.get(name, [])

    def count(self, name: bytes) -> int:
        """How many fields are called ``name`` (lower case)."""
        return len(self._places.get(name, ()))

    def value(self, place: int) -> bytes:
        """What follows a field's colon, still folded, without the last CR LF."""
        return self._fields[place].partition(b":")[2]

    def canonical(self, place: int, canon: Canon) -> bytes:
        """One field in canonical form, with its CR LF."""
        if canon is Canon.SIMPLE:
            return self._fields[place] + b"\r\n"
        known = self._relaxed.get(place)
        if known is None:
            name, _, value = self._fields[place].partition(b":")
            known = relaxed_field(name.rstrip(b" \t").lower(), value) + b"\r\n"
            self._relaxed[place] = known
        return known

    def select(self, names: Iterable[bytes], own: int = -1) -> list[int]:
        """The places that a list of names (lower case) means; a name with no field left, none.

        Args:
            names: in the order of the signature's h=.
            own: place of the signature itself, which is never among what its list names.
        """
        used: dict[bytes, int] = {}
        chosen: list[int] = []
        for name in names:
            places = self._places.get(name)
            if places is None:
                continue
            at = used.get(name, len(places)) - 1
            if at >= 0 and places[at] == own:
                at -= 1
            if at >= 0:
                chosen.append(places[at])
            used[name] = max(at, 0)
        return chosen

    def signed_octets(self, names: Iterable[bytes], own: int, canon: Canon) -> bytes:
        """What the signature in the field ``own`` was made over, when it names ``names``."""
        signed = [self.canonical(place, canon) for place in self.select(names, own)]
        signed.append(emptied_field(self._fields[own], canon))
        return b"".join(signed)

    def emptied(self, place: int) -> bytes:
        """A signature's own field, relaxed, its ``b=`` without value, without a line end."""
        return emptied_field(self._fields[place], Canon.RELAXED)


def emptied_field(field: bytes, canon: Canon) -> bytes:
    """A signature's own field as it goes into its hash: last, and without a line end."""
    emptied = without_signature(field)
    if canon is Canon.SIMPLE:
        return emptied
    name, _, value = emptied.partition(b":")
    return relaxed_field(name.rstrip(b" \t").lower(), value)
