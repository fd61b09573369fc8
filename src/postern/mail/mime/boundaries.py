"""The multiparts that are open, and which of them a delimiter belongs to.

Source: RFC 2046 §5.1.1 (a line that begins with the boundary is a delimiter), §5.1.2 (nesting).
"""

from postern.mail.mime.part import Fault

MAX_BOUNDARIES = 200
"""In force at a time, readings included: fifty multiparts inside one another have some hundred."""


class _Level:
    """One multipart that is open, or a message, which has no boundary of its own."""

    __slots__ = ("boundaries", "is_closed")

    def __init__(self, boundaries: tuple[bytes, ...], *, is_closed: bool) -> None:
        self.boundaries = boundaries
        self.is_closed = is_closed


class Boundaries:
    """All boundaries in force, the outermost first.

    A multipart stays in force behind its closing delimiter, until something around it goes on: some
    programs show the parts that follow it. ``every`` is empty while there is none; it holds ``b""``
    for a multipart that named no boundary, whose first line with two hyphens will name it.
    """

    def __init__(self, faults: set[Fault]) -> None:
        self._faults = faults
        self._levels: list[_Level] = []
        self._rank: dict[bytes, tuple[int, int]] = {}  # which goes before, and whose it is
        self.every: tuple[bytes, ...] = ()
        self.longest = 0

    @property
    def count(self) -> int:
        """How many multiparts and messages are inside one another here."""
        return len(self._levels)

    def open(self, boundaries: tuple[bytes, ...]) -> bool:
        """A multipart begins; several boundaries are readings of one. False: there are too many."""
        if len(self.every) + len(boundaries) > MAX_BOUNDARIES:
            self._faults.add(Fault.TWO_BOUNDARIES)
            return False
        if not boundaries:
            self._faults.add(Fault.NO_BOUNDARY)
        if any(one in self._rank for one in boundaries):
            self._faults.add(Fault.REPEATED_BOUNDARY)
        self._levels.append(_Level(boundaries or (b"",), is_closed=False))
        self._gather()
        return True

    def open_message(self) -> None:
        """A message begins: it ends with what it is in."""
        self._levels.append(_Level((), is_closed=True))

    def delimit(self, line: bytes) -> bool:
        """A line behind "--" that begins with one of ``every``; True when a part begins with it."""
        line = line.rstrip(b" \t")
        index, is_closing = self._find(line)
        level = self._levels[index]
        has_changed = len(self._levels) > index + 1
        self._leave(index + 1)
        if not level.boundaries[-1]:
            level.boundaries = (line,)
            has_changed = True
        if not is_closing and level.is_closed:
            self._faults.add(Fault.AFTER_CLOSE)
        if is_closing and not level.is_closed:
            level.is_closed = has_changed = True
        if has_changed:
            self._gather()
        return not is_closing

    def finish(self) -> None:
        """The body is over."""
        self._leave(0)

    def _leave(self, index: int) -> None:
        if any(not level.is_closed for level in self._levels[index:]):
            self._faults.add(Fault.NOT_CLOSED)
        del self._levels[index:]

    def _find(self, line: bytes) -> tuple[int, bool]:
        """Which multipart it belongs to, and whether it closes it.

        A boundary may be the beginning of another one: what fits whole goes before. What is still
        open goes before what was closed, and the inner before the outer.
        """
        whole = self._rank.get(line) if line else None
        closed = line.removesuffix(b"--")
        closing = self._rank.get(closed) if closed and closed != line else None
        if whole is not None and (closing is None or whole <= closing):
            return whole[1], False
        if closing is not None:
            return closing[1], True
        for boundary, (_, index) in self._rank.items():
            if boundary and line.startswith(boundary):
                self._faults.add(Fault.LOOSE_BOUNDARY)
                return index, False
        return self._rank[b""][1], False

    def _is_closed(self, index: int) -> bool:
        return self._levels[index].is_closed

    def _gather(self) -> None:
        places = sorted(range(len(self._levels) - 1, -1, -1), key=self._is_closed)
        found: dict[bytes, tuple[int, int]] = {}
        for rank, index in enumerate(places):
            for boundary in self._levels[index].boundaries:
                found.setdefault(boundary, (rank, index))
        self._rank = found
        self.every = tuple(found)
        self.longest = max((len(one) for one in found), default=0)
