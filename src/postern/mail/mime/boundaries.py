"""The multiparts that are open, and which of them a delimiter belongs to.

Source: RFC 2046 §5.1.1 (a line that begins with the boundary is a delimiter), §5.1.2 (nesting).
"""

from postern.mail.mime.part import Fault


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
        self.every: tuple[bytes, ...] = ()
        self.longest = 0

    @property
    def count(self) -> int:
        """How many multiparts and messages are inside one another here."""
        return len(self._levels)

    def open(self, boundaries: tuple[bytes, ...]) -> None:
        """A multipart begins; several boundaries are readings of one."""
        if not boundaries:
            self._faults.add(Fault.NO_BOUNDARY)
        if any(one in self.every for one in boundaries):
            self._faults.add(Fault.REPEATED_BOUNDARY)
        self._levels.append(_Level(boundaries or (b"",), is_closed=False))
        self._gather()

    def open_message(self) -> None:
        """A message begins: it ends with what it is in."""
        self._levels.append(_Level((), is_closed=True))

    def delimit(self, line: bytes) -> bool:
        """A line behind "--" that begins with one of ``every``; True when a part begins with it."""
        line = line.rstrip(b" \t")
        index, is_closing = self._find(line)
        self._leave(index + 1)
        level = self._levels[index]
        if not level.boundaries[-1]:
            level.boundaries = (line,)
        self._gather()
        if is_closing:
            level.is_closed = True
            return False
        if level.is_closed:
            self._faults.add(Fault.AFTER_CLOSE)
        return True

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
        places = sorted(range(len(self._levels) - 1, -1, -1), key=self._is_closed)
        for index in places:
            for boundary in self._levels[index].boundaries:
                if boundary and line == boundary:
                    return index, False
                if boundary and line == boundary + b"--":
                    return index, True
        for index in places:
            for boundary in self._levels[index].boundaries:
                if boundary and line.startswith(boundary):
                    self._faults.add(Fault.LOOSE_BOUNDARY)
                    return index, False
        return next(index for index in places if b"" in self._levels[index].boundaries), False

    def _is_closed(self, index: int) -> bool:
        return self._levels[index].is_closed

    def _gather(self) -> None:
        found: dict[bytes, None] = {}
        for level in self._levels:
            found |= dict.fromkeys(level.boundaries)
        self.every = tuple(found)
        self.longest = max((len(one) for one in found), default=0)
