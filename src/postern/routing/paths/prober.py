"""When paths are tested without mail: only those that are blocked, and those that mail waits for.

- A path that is **blocked** is tested until it answers: a while after it was blocked, then whenever
  a quarter of the time that it has been so has gone by again, up to ``retest_s``. One that answers
  (**probing**) is tested every ``GOOD_EVERY_S`` until it is healthy. One that no mail needed for a
  day is tested ever more seldom.
- A path that has **failed once** is tested once more at once, so that it is known which it is.
- When an attempt meets **silence** or another failure of the network, the other addresses of its
  group are tested at once, side by side: whether the whole group is dead is known after one
  patience, and not after as many as it has addresses. They are so again when one is blocked, for
  what they answered before says nothing any more.

One worker tests a path at a time (a lease in ``paths.db``), at a bounded rate; ``agenda`` says who
goes first.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from postern.mail.paths import Path
from postern.mail.route import Egress, Target, TlsDemand, TlsPolicy, Way
from postern.routing.paths import health
from postern.routing.paths.agenda import Agenda, Urgency
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.health import PathCondition, PathState
from postern.routing.paths.settings import ProbeSettings
from postern.runtime.clock import Clock, Instant

log = structlog.get_logger("postern.routing")

Probe = Callable[[Way], Awaitable[None]]
"""Tests a way, and tells the board itself what showed. Never raises for what a peer does."""

CONFIRM_S = 0.3
GOOD_EVERY_S = 10.0
GROWTH = 0.25
JITTER = 0.2
FRESH_S = 10.0
"""An address of which something showed so lately is not tested beside others of its group."""
BESIDE_S = 3.0
"""How long others leave an address alone of which nothing is known yet."""
TURN_S = 0.5
LEAST_TURN_S = 0.05
NEEDED_S = 900.0
"""Who was blocked, or tried by mail, so lately is tested before those that have long been dead."""
UNNEEDED_S = 86_400.0
"""After so long without mail a path is tested more and more seldom."""


class Claims(Protocol):
    """Who may test which path now, over all workers; see ``keeper.PathKeeper``."""

    async def claim(self, until: Mapping[Path, Instant]) -> frozenset[Path] | None:
        """Those of the paths that are the caller's; None: couldn't tell."""
        ...


class Prober:
    """For one worker; a reload changes ``settings``, ``probe``, ``egress_of`` and ``has_ipv6``.

    Args:
        board: what is known, and where changes are told.
        census: the addresses of groups.
        claims: so that one worker tests a path.
        clock: for when.
        chance: for jitter.
    """

    def __init__(
        self,
        board: Board,
        census: Census,
        claims: Claims,
        clock: Clock,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = ProbeSettings()
        self.probe: Probe = _untested
        self.egress_of: Callable[[str], Egress | None] = Egress
        self.has_ipv6 = True
        self._board = board
        self._census = census
        self._claims = claims
        self._clock = clock
        self._chance = chance or random.SystemRandom()
        self._agenda = Agenda(self._rank)
        self._asked: set[Path] = set()
        self._beside: dict[Path, tuple[str, Target]] = {}
        self._running: dict[Path, asyncio.Task[None]] = {}
        self._tokens = math.inf
        self._refilled_at = clock.monotonic()
        self._wake = asyncio.Event()
        board.on_change(self._changed)

    async def keep_probing(self) -> None:
        """Test what is due, for ever."""
        while True:
            if not self._agenda:
                await self._wake.wait()
            self._wake.clear()
            await self.turn()
            next_s = self._agenda.due_in(self._clock.monotonic())
            try:
                async with asyncio.timeout(min(max(next_s, LEAST_TURN_S), TURN_S)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Begin the tests that are due now, as many as the rate allows."""
        now = self._clock.monotonic()
        wanted: dict[Path, Way] = {}
        for path in self._taken(now):
            way = self._way(path)
            if way is None:
                self._forget(path)
            elif path in self._running:
                self._agenda.put(path, now + GOOD_EVERY_S)  # its end says when it is next
            else:
                wanted[path] = way
        if not wanted:
            return
        wall, longest_s = self._clock.now(), self.settings.retest_s
        wait_s = {path: self._wait_s(path) for path in wanted}
        until = {path: wall + min(wait_s[path], longest_s) for path in wanted}
        granted = await self._claims.claim(until)
        for path, way in wanted.items():
            self._beside.pop(path, None)
            self._asked.discard(path)
            self._agenda.put(path, self._clock.monotonic() + wait_s[path])
            # Where the file could not tell, two may test one path: better than nobody.
            if granted is None or path in granted:
                self._begin(path, way)

    def ask(self, group: str, egress: str) -> None:
        """Test a group's addresses soon, those too of which nothing bad is known.

        An encrypted way is asked for; what is tested already at its own times is left to them, and
        goes before all others then.
        """
        now = self._clock.monotonic()
        for target in self._census.targets(group, egress):
            path = Path(egress, target.ip, target.port, encrypted=True)
            if path not in self._agenda:
                self._beside[path] = (group, target)
                self._schedule(path, now)
            self._goes_first(path)
        for state in self._board.of_group(group):
            if state.path.egress == egress:
                self._goes_first(state.path)

    async def wait_idle(self) -> None:
        """Until no test is under way."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def close(self) -> None:
        """Break off what is under way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # --- what is due ------------------------------------------------------------------------------

    def _changed(self, group: str) -> None:
        """On the loop, for every change of a group: plan its tests."""
        now, wall = self._clock.monotonic(), self._clock.now()
        for state in self._board.of_group(group):
            if not _is_tested(state):
                continue
            self._plan(state, now)
            is_recent = state.last_sign.is_network and wall - state.seen_at < FRESH_S
            if is_recent and (state.used_at == state.seen_at or _is_just_blocked(state)):
                self._test_others(group, state, now, wall)

    def _plan(self, state: PathState, now: float) -> None:
        # A new state may make it sooner; what others do meanwhile never puts it off.
        self._schedule(state.path, now + self._wait_s(state.path))
        self._agenda.promote(state.path)

    def _test_others(self, group: str, state: PathState, now: float, wall: Instant) -> None:
        """The other addresses of the group, at once."""
        for target in self._census.targets(group, state.path.egress):
            if ":" in target.ip and not self.has_ipv6:
                continue  # it would not be reached from here, which says nothing of its group
            path = replace(state.path, ip=target.ip, port=target.port)
            if path == state.path or path in self._agenda:
                continue
            if not self._is_fresh(path, max(state.since, wall - FRESH_S)):
                self._beside[path] = (group, target)
                self._schedule(path, now)

    def _is_fresh(self, path: Path, since: Instant) -> bool:
        """Whether something showed of it since the trouble began: what did before is history."""
        known = self._board.of(path)
        seen_at = 0.0 if known is None else known.seen_at
        seen_at = max(seen_at, self._board.last_good_at(path) or 0.0)
        return seen_at >= since

    def _schedule(self, path: Path, at: float) -> None:
        if self._agenda.put_sooner(path, at):
            self._wake.set()

    def _goes_first(self, path: Path) -> None:
        if path in self._agenda:
            self._asked.add(path)
            self._agenda.promote(path)

    def _forget(self, path: Path) -> None:
        self._agenda.drop(path)
        self._beside.pop(path, None)
        self._asked.discard(path)

    def _rank(self, path: Path) -> tuple[Urgency, str]:
        """How urgent the test of a path is, and its group."""
        state = self._board.of(path)
        if state is None:
            group = self._beside[path][0] if path in self._beside else ""
            return Urgency.ASKED if path in self._asked else Urgency.BESIDE, group
        if path in self._asked:
            return Urgency.ASKED, state.group
        match state.condition:
            case PathCondition.PROBING:
                urgency = Urgency.PROBING
            case PathCondition.BLOCKED:
                is_needed = self._clock.now() - max(state.used_at, state.since) < NEEDED_S
                urgency = Urgency.NEEDED if is_needed else Urgency.REST
            case _:
                urgency = Urgency.BESIDE
        return urgency, state.group

    def _wait_s(self, path: Path) -> float:
        """How long until a path is tested, or tested again."""
        state = self._board.of(path)
        if state is None:
            return BESIDE_S
        now, settings = self._clock.now(), self.settings
        if state.condition is PathCondition.DEGRADED:
            return CONFIRM_S
        if state.condition is PathCondition.PROBING and health.is_good(state.last_sign):
            wait_s = min(GOOD_EVERY_S, settings.retest_s)
        else:
            age_s = (now - state.since) * GROWTH
            wait_s = min(max(age_s, settings.first_retest_s), settings.retest_s)
            unneeded_s = now - state.used_at
            if unneeded_s >= UNNEEDED_S:
                wait_s = max(wait_s, unneeded_s * GROWTH)
        return wait_s * self._chance.uniform(1 - JITTER, 1 + JITTER)

    def _way(self, path: Path) -> Way | None:
        """The way to test; None: it need not be tested any more."""
        state = self._board.of(path)
        egress = self.egress_of(path.egress)
        if egress is None:
            return None
        if path in self._beside:
            group, target = self._beside[path]
        elif state is not None and _is_tested(state):
            group, target = state.group, Target(state.host, path.ip, path.port)
        else:
            return None
        policy = TlsPolicy.OPPORTUNISTIC if path.encrypted else TlsPolicy.NEVER
        # No login: a test that fails at a relay's must not look like somebody who guesses.
        egress = replace(egress, username=None, password=None)
        return Way(egress, replace(target, tls=TlsDemand(policy)), group=group)

    # --- tests ------------------------------------------------------------------------------------

    def _taken(self, now: float) -> list[Path]:
        """Those to begin now: as many as a bucket holds that fills as time goes by."""
        settings = self.settings
        workers = max(settings.workers, 1)
        most = max(settings.at_a_time // workers, 1)
        rate = settings.per_minute / 60.0 / workers
        self._tokens = min(self._tokens + (now - self._refilled_at) * rate, float(most))
        self._refilled_at = now
        free = most - len(self._running)
        return self._agenda.take(now, min(int(self._tokens), free), free, most)

    def _begin(self, path: Path, way: Way) -> None:
        self._tokens -= 1
        task = asyncio.get_running_loop().create_task(self._test(path, way))
        self._running[path] = task

    async def _test(self, path: Path, way: Way) -> None:
        before = self._board.of(path)
        try:
            await self.probe(way)
        except Exception:
            log.exception("paths.probe_bug", address=path.ip)
        finally:
            self._running.pop(path, None)
            state = self._board.of(path)
            if state is None or not _is_tested(state):
                self._forget(path)
            else:
                # What our own machine was to blame for tells nothing, and is no reason to hurry.
                least_s = self.settings.first_retest_s if state is before else 0.0
                wait_s = max(self._wait_s(path), least_s)
                self._agenda.put(path, self._clock.monotonic() + wait_s)


def _is_just_blocked(state: PathState) -> bool:
    return state.condition is PathCondition.BLOCKED and state.since == state.seen_at


def _is_tested(state: PathState) -> bool:
    """Whether a test can tell more about it."""
    if not state.group or not health.is_testable(state.last_sign):
        return False
    match state.condition:
        case PathCondition.BLOCKED | PathCondition.PROBING:
            return True
        case PathCondition.DEGRADED:
            return health.is_failure(state.last_sign)
        case PathCondition.HEALTHY:
            return False


async def _untested(way: Way) -> None:
    """Nobody tests yet."""
    del way
