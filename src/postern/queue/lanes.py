"""Slots in two lanes: no destination, however slow, takes another's.

The fast lane is for sessions that end in the time a session takes. One that is older than 15 s goes
on in the slow lane, which has slots of its own; when others wait for a slot, it goes after one
second. Groups known to be slow, or shut, begin there, and so does mail that met network trouble at
its last try where nothing good is known of its group: after a restart thousands of dead groups may
have mail due, and who is met for the first time must not stand behind them.

Who holds a slot for minutes must leave room for whoever comes next. So groups known to be slow
may fill three quarters of the slow lane: the rest is for those that are found to be slow just
now, which frees their fast slots, and for the one try of each shut group. Groups of which nothing
good is known may fill three quarters of the fast lane: the rest is for those known to be quick.
And where half of what a group could get is taken, a second session is only for groups known to be
quick: tarpits then hold a line each, however much waits for them, and a group that is met for the
first time finds one.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postern.queue.causes import NETWORK_KINDS
from postern.queue.group import Group, Work

LONG_S = 15.0
HURRIED_S = 1.0
"""As long, when others wait."""
BODY_BYTES_S = 100_000
"""A large message may take its time without its group being slow."""

_KNOWN: Final = 0
_NEW: Final = 1
_SLOW: Final = 2
_SHUT: Final = 3
"""The lines that groups stand in for a slot."""


class Lane(Enum):
    """Whose slot a session has."""

    OWN = "own"  # its group's: the local store
    FAST = "fast"
    SLOW = "slow"


@dataclass(slots=True, eq=False)
class Session:
    """One session's worth of work for a group: one attempt after the other.

    ``is_new``: it counts to those of groups of which nothing good is known. ``work`` is under way
    since the monotonic second ``began``; ``is_long``: it took so long that it changed lanes.
    """

    group: Group
    lane: Lane
    is_new: bool = False
    work: Work | None = None
    began: float = 0.0
    is_long: bool = False

    def is_slow(self, monotonic: float) -> bool:
        """True when it has taken longer than its message alone would."""
        size = 0 if self.work is None else self.work.message.content.size_bytes
        return monotonic - self.began > LONG_S + size / BODY_BYTES_S


class Lanes:
    """The slots of one worker, and who waits for one."""

    def __init__(self, fast: int, slow: int) -> None:
        self.used_fast = self.used_slow = 0
        self._used_new = 0
        self._running: dict[Session, None] = {}
        self._hurried: dict[Session, None] = {}  # moved early: they may be slow, or not
        self._lines: tuple[deque[tuple[int, Group]], ...] = (deque(), deque(), deque(), deque())
        self._turn = 0
        self.resize(fast, slow)

    def resize(self, fast: int, slow: int) -> None:
        """Other numbers of slots."""
        self.fast = fast
        self.slow = slow
        self._most_new = max(1, fast - fast // 4)
        self._most_slow = slow - slow // 4

    def take(self, group: Group, now: float) -> Session | None:
        """A slot for ``group``; None, and a place in the line, when none is free.

        None without a place where it has a session and should be content: its end asks again.
        """
        if group.has_own:
            group.lanes += 1
            return Session(group, Lane.OWN)
        place = _line_of(group, now)
        if group.lanes and self._is_scarce(place):
            return None
        if not self._has_room(place):
            self._stand_in_line(group, place)
            return None
        group.lanes += 1
        if place in {_SLOW, _SHUT}:
            self.used_slow += 1
            group.slow_lanes += 1
            return Session(group, Lane.SLOW)
        self.used_fast += 1
        self._used_new += place == _NEW
        return Session(group, Lane.FAST, place == _NEW)

    def _has_room(self, place: int) -> bool:
        """Whether a slot is free for groups of one line."""
        if place == _SHUT:
            return self.used_slow < self.slow
        if place == _SLOW:
            return self.used_slow < self._most_slow
        is_free = self.used_fast < self.fast
        return is_free and (place == _KNOWN or self._used_new < self._most_new)

    def _is_scarce(self, place: int) -> bool:
        """Whether half of what groups of one line could get is taken."""
        if place == _KNOWN:
            return False
        if 2 * self.used_slow >= self.slow:
            return True
        return place == _NEW and 2 * self._used_new >= self._most_new

    def begin(self, session: Session, work: Work, monotonic: float) -> None:
        """An attempt begins in a session."""
        session.work, session.began = work, monotonic
        if session.lane is Lane.FAST:
            # The oldest stay in front.
            self._running.pop(session, None)
            self._running[session] = None

    def give(self, session: Session) -> None:
        """The session has ended."""
        group = session.group
        group.lanes -= 1
        if session.lane is Lane.FAST:
            self._leave_fast(session)
        elif session.lane is Lane.SLOW:
            self._hurried.pop(session, None)
            self.used_slow -= 1
            group.slow_lanes -= 1

    def _leave_fast(self, session: Session) -> None:
        self._running.pop(session, None)
        self.used_fast -= 1
        self._used_new -= session.is_new

    @property
    def is_running(self) -> bool:
        """True while there is anything to look after."""
        return bool(self._running or self._hurried)

    def sweep(self, monotonic: float, now: float) -> list[Group]:
        """Move what has become old out of the fast lane, as far as there is room.

        Returns the groups that are found to be slow by it.
        """
        found = [session.group for session in self._slow(monotonic, now)]
        limit_s = HURRIED_S if self._lines[_KNOWN] or self._lines[_NEW] else LONG_S
        for session in list(self._old(monotonic - limit_s)):
            if not session.is_new and monotonic - session.began >= LONG_S:
                session.is_new = True
                self._used_new += 1
            if self.used_slow < self.slow:
                self._leave_fast(session)
                session.lane, session.is_long = Lane.SLOW, True
                if not session.is_slow(monotonic):
                    self._hurried[session] = None
                self.used_slow += 1
                session.group.slow_lanes += 1
        return found

    def _slow(self, monotonic: float, now: float) -> list[Session]:
        """The sessions that are found to be slow just now; their groups are, from now on."""
        looked_at = (*self._old(monotonic - LONG_S), *self._hurried)
        found = [session for session in looked_at if session.is_slow(monotonic)]
        for session in found:
            self._hurried.pop(session, None)
            session.group.pace.was_slow(now)
            session.group.pace.met_setback(session.began, monotonic)
        return found

    def _old(self, begun_before: float) -> Iterator[Session]:
        for session in self._running:
            if session.began > begun_before:
                return
            yield session

    # --- the line ------------------------------------------------------------------------------

    def is_wanted(self, session: Session) -> bool:
        """True when another group waits for the slot that this session has."""
        known, new, slow, shut = self._lines
        if session.lane is Lane.FAST:
            return bool(known) or (bool(new) and session.is_new)
        return session.lane is Lane.SLOW and bool(slow or shut)

    @property
    def is_line(self) -> bool:
        """True when another group waits for a slot."""
        return any(self._lines)

    def _stand_in_line(self, group: Group, place: int) -> None:
        if group.is_in_line:
            return
        group.is_in_line = True
        self._turn += 1
        self._lines[place].append((self._turn, group))

    def next_in_line(self) -> Group | None:
        """The group that has waited longest for a slot that is free now."""
        while (line := self._first_line()) is not None:
            _, group = line.popleft()
            group.is_in_line = False
            if group.wants_lane:
                return group
        return None

    def _first_line(self) -> deque[tuple[int, Group]] | None:
        found: deque[tuple[int, Group]] | None = None
        for place, line in enumerate(self._lines):
            if line and self._has_room(place) and (found is None or line[0][0] < found[0][0]):
                found = line
        return found


def _line_of(group: Group, now: float) -> int:
    """The line a group belongs in."""
    pace = group.pace
    if pace.is_shut:
        return _SHUT
    if pace.slow_until > now:
        return _SLOW
    if pace.is_proven:
        return _KNOWN
    # What failed before tells of the group even where its pace was forgotten, with a restart.
    is_suspect = bool(group.ready) and group.ready[0].deliveries[0].cause in NETWORK_KINDS
    return _SLOW if is_suspect else _NEW
