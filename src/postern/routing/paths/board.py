"""The board: what a worker knows of paths, in memory. Told by delivery, asked for every attempt.

Only paths of which something bad is known are on it. A good answer of any other is one look-up and
one number noted; nothing is written for it. What changes is handed to ``keep`` (see ``store``), and
what other workers changed comes in by ``learn``.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from postern.mail.paths import Observation, Path, Sign
from postern.routing.paths import health
from postern.routing.paths.health import PathCondition, PathState
from postern.runtime.clock import Clock, Instant

log = structlog.get_logger("postern.routing")

Place = tuple[str, str, int]
"""Egress, address and port: what the encrypted path and that in clear have in common."""

MAX_STATES = 20_000
"""Paths of which something bad is known; those seen longest ago go first."""
MAX_GOOD = 50_000
"""Paths whose last good answer is remembered, in case they turn bad."""
MAX_GROUPS = 8
"""Groups that one path is known in."""
SLOW_S = 2.5
"""An answer that took longer may take longer than attempts wait for it, and is one all the same."""
NOTE_S = 60.0
"""How often a state that only grows older is handed on."""

NEEDED_S = 3600.0
"""How often it is noted that mail needs a path."""


class Board:
    """For one worker, on its event loop; it outlives reloads. A ``PathWatch``.

    Args:
        clock: the wall clock is what other workers share.
        keep: takes every state that changed, to be written down; must not block.
    """

    def __init__(self, clock: Clock, keep: Callable[[PathState], None] | None = None) -> None:
        self.version = 0
        self._clock = clock
        self._keep = keep
        self._states: dict[Path, PathState] = {}
        self._places: dict[Place, int] = {}  # how many states each address and egress has
        self._groups: dict[str, dict[Path, None]] = {}
        self._groups_of: dict[Path, tuple[str, ...]] = {}
        self._good: dict[Path, Instant] = {}
        self._slow: dict[Path, float] = {}
        self._kept_at: dict[Path, Instant] = {}
        self._listeners: list[Callable[[str], None]] = []

    # --- told -------------------------------------------------------------------------------------

    def saw(self, observation: Observation) -> None:
        """Take note of what showed of a path."""
        path = observation.path
        if health.is_good(observation.sign):
            self._good[path] = observation.at
            if observation.seconds >= SLOW_S:
                self._slow[path] = observation.seconds
            elif self._slow:
                self._slow.pop(path, None)
            if len(self._good) > MAX_GOOD:
                self._forget_good()
            if (path.egress, path.ip, path.port) not in self._places:
                if observation.is_probe and self._keep is not None:
                    # Others of its group are in trouble: all workers must know that it is not.
                    self._keep(_well(observation))
                return
            self._weigh_sibling(observation)
            if path not in self._states:
                return
        elif self._slow and self._is_as_slow_as_ever(observation):
            return
        self._weigh(observation)

    def lost(self, path: Path) -> None:
        """It lost a race: it goes last for a while, in every worker."""
        now = self._clock.now()
        self._put(
            path, self._states.get(path), health.lost_race(self._current(path, now), path, now)
        )

    def needed(self, group: str) -> None:
        """Mail waits for the group, or takes a way round it: what is known of it is not forgotten.

        Attempts, and whoever asks ``is_last``, say so by themselves.
        """
        now = self._clock.now()
        for path in tuple(self._groups.get(group, ())):
            state = self._current(path, now)
            if state is not None:
                self._use(state, now)

    def learn(self, states: Iterable[PathState]) -> None:
        """Take over what other workers know and we do not."""
        for news in states:
            self._note_good(news)
            known = self._states.get(news.path)
            state = news if known is None else _as_one(known, news)
            if state == known:
                continue
            groups = self._groups_of.get(state.path, ())
            self._set(state.path, health.as_of(state, self._clock.now()))
            self._told((*groups, state.group))

    # --- asked ------------------------------------------------------------------------------------

    def of(self, path: Path) -> PathState | None:
        """What is known of a path; None: nothing bad is."""
        if path not in self._states:
            return None
        return self._current(path, self._clock.now())

    def of_group(self, group: str) -> Sequence[PathState]:
        """The states of a group's paths of which something bad is known."""
        paths = self._groups.get(group)
        if not paths:
            return ()
        now = self._clock.now()
        states = [self._current(path, now) for path in tuple(paths)]
        return [state for state in states if state is not None]

    def groups(self) -> Sequence[str]:
        """The groups of which something bad is known."""
        return [group for group in self._groups if group]

    def is_last(self, path: Path) -> bool:
        """Whether the path goes behind the others of its group.

        Whoever asks has mail for it, so what is known of it is not forgotten.
        """
        if path not in self._states:
            return False
        now = self._clock.now()
        state = self._current(path, now)
        if state is None:
            return False
        self._use(state, now)
        return health.is_last(state, now)

    def last_good_at(self, path: Path) -> Instant | None:
        """When it last answered well, as far as this worker knows."""
        state = self._states.get(path)
        return self._good.get(path) or (None if state is None else state.last_good_at)

    def states(self) -> Sequence[PathState]:
        """Everything on the board."""
        now = self._clock.now()
        states = [self._current(path, now) for path in tuple(self._states)]
        return [state for state in states if state is not None]

    def answers(self, path: Path, since: Instant) -> bool:
        """Whether the address has answered since then, encrypted or not."""
        both = (path, replace(path, encrypted=not path.encrypted))
        return any(self._good.get(one, 0.0) >= since for one in both)

    def on_change(self, told: Callable[[str], None]) -> None:
        """Call ``told`` with the group's name after each change, ours or another worker's."""
        self._listeners.append(told)

    def sweep(self) -> None:
        """Forget what time has healed."""
        now = self._clock.now()
        for path in tuple(self._states):
            self._current(path, now)

    # --- within -----------------------------------------------------------------------------------

    def _is_as_slow_as_ever(self, seen: Observation) -> bool:
        """Silent so far, at an address that took its time to answer before.

        Some servers greet after five seconds or more, to see who talks before: the next address is
        begun beside them, and that is all.
        """
        usual_s = self._slow.get(seen.path, 0.0)
        is_silent = seen.sign is Sign.SILENT or seen.sign is Sign.MUTE
        return is_silent and not seen.is_final and seen.seconds < 2 * usual_s

    def _note_good(self, state: PathState) -> None:
        """What another worker knows of a good answer, for a path of which nothing bad is left."""
        at = state.last_good_at
        if at is not None and state.condition is PathCondition.HEALTHY:
            self._good[state.path] = max(self._good.get(state.path, at), at)
            if len(self._good) > MAX_GOOD:
                self._forget_good()

    def _use(self, state: PathState, now: Instant) -> None:
        if now - state.used_at >= NEEDED_S:
            self._states[state.path] = state = replace(state, used_at=now)
            if self._keep is not None:
                self._keep(state)

    def _weigh_sibling(self, seen: Observation) -> None:
        """Who answers in clear is connected: that heals what the network did to the other mode."""
        sibling = replace(seen.path, encrypted=not seen.path.encrypted)
        state = self._states.get(sibling)
        if state is not None and not health.is_of_tls(state.last_sign):
            self._weigh(replace(seen, path=sibling))

    def _weigh(self, seen: Observation) -> None:
        path = seen.path
        before = self._states.get(path)
        state = self._current(path, seen.at)
        after = health.after(state, seen)
        if after is not None and after.last_good_at is None:
            after = replace(after, last_good_at=self._good.get(path))
        self._put(path, before, after)
        # Domains may have a provider's addresses under names of their own.
        if after is not None:
            self._join(path, seen.group)

    def _put(self, path: Path, before: PathState | None, after: PathState | None) -> None:
        """Keep the state, and hand it on when another worker would act on the difference."""
        known = after or before
        if known is None:
            return
        groups = (*self._groups_of.get(path, ()), known.group)
        self._set(path, after)
        if after is None:
            after = _healed(known, self._clock.now())
        elif before is not None and not self._is_news(before, after):
            return
        if path in self._states:
            self._kept_at[path] = after.seen_at
        if self._keep is not None:
            self._keep(after)
        self._told(groups)

    def _is_news(self, before: PathState, after: PathState) -> bool:
        return (
            before.condition is not after.condition
            or before.last_sign is not after.last_sign
            or (
                before.failures != after.failures and after.failures <= health.FAILURES_TO_BLOCK + 1
            )
            or before.good != after.good
            or after.seen_at - self._kept_at.get(after.path, 0.0) >= NOTE_S
            or after.avoid_until - before.avoid_until >= health.LAST_S / 2
        )

    def _current(self, path: Path, now: Instant) -> PathState | None:
        """The state by now; one that time has healed is taken off the board."""
        state = self._states.get(path)
        if state is None:
            return None
        left = health.as_of(state, now)
        if left is None:
            groups = self._groups_of.get(path, ())
            self._set(path, None)
            self._told(groups)
        return left

    def _set(self, path: Path, state: PathState | None) -> None:
        before = self._states.get(path)
        if (before is None) is not (state is None):
            self._count(path, 1 if before is None else -1)
        if state is None:
            self._states.pop(path, None)
            self._kept_at.pop(path, None)
            self._leave(path)
            return
        self._states[path] = state
        self._join(path, state.group)
        if len(self._states) > MAX_STATES:
            self._forget_oldest()

    def _count(self, path: Path, change: int) -> None:
        place = (path.egress, path.ip, path.port)
        count = self._places.get(place, 0) + change
        if count > 0:
            self._places[place] = count
        else:
            self._places.pop(place, None)

    def _join(self, path: Path, group: str) -> None:
        groups = self._groups_of.get(path, ())
        if group not in groups and len(groups) < MAX_GROUPS:
            self._groups_of[path] = (*groups, group)
            self._groups.setdefault(group, {})[path] = None

    def _leave(self, path: Path) -> None:
        for group in self._groups_of.pop(path, ()):
            paths = self._groups[group]
            paths.pop(path, None)
            if not paths:
                del self._groups[group]

    def _told(self, groups: Iterable[str]) -> None:
        self.version += 1
        for group in dict.fromkeys(groups):
            for told in self._listeners:
                try:
                    told(group)
                except Exception:
                    log.exception("paths.listener_bug", group=group)

    def _forget_oldest(self) -> None:
        oldest = sorted(self._states.values(), key=lambda state: state.seen_at)
        for state in oldest[: MAX_STATES // 10]:
            self._set(state.path, None)

    def _forget_good(self) -> None:
        oldest = sorted(self._good, key=self._good.__getitem__)
        for path in oldest[: MAX_GOOD // 2]:
            del self._good[path]
            self._slow.pop(path, None)


def _as_one(known: PathState, news: PathState) -> PathState:
    """What two workers know of a path, together: the later of the two, and a race lost since."""
    newer, older = (known, news) if known.seen_at > news.seen_at else (news, known)
    avoid_until = newer.avoid_until
    if older.avoid_until - health.LAST_S >= newer.seen_at:
        avoid_until = max(avoid_until, older.avoid_until)
    used_at = max(known.used_at, news.used_at)
    return replace(newer, avoid_until=avoid_until, used_at=used_at)


def _well(seen: Observation) -> PathState:
    """What other workers are told of a path that was tested beside others, and answers."""
    return PathState(
        seen.path,
        seen.group,
        seen.host,
        PathCondition.HEALTHY,
        seen.at,
        seen.sign,
        last_good_at=seen.at,
        seen_at=seen.at,
        used_at=seen.at,
    )


def _healed(state: PathState, now: Instant) -> PathState:
    """What other workers are told of a path of which nothing bad is known any more."""
    return replace(
        state,
        condition=PathCondition.HEALTHY,
        since=now if state.condition is not PathCondition.HEALTHY else state.since,
        failures=0,
        good=0,
        avoid_until=0.0,
        seen_at=now,
        counted_at=now,
    )
