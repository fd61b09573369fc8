"""The path controller of one worker: hears what attempts show, engages relays, takes them back.

All workers decide by the same rules on what is shared: the route is made in ``site.db``, where one
of them is the first, and how the group stands changes by compare-and-set in ``paths.db``. Whoever
is killed in between leaves a route without a standing, which is taken up again, or a standing
without its route, which is then over (see ``reconciling``).
"""

import asyncio
from collections.abc import Coroutine, Sequence

import structlog

from postern.journal.record import AttemptRecord
from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import RELAY_GROUP
from postern.routing.control import verdicts
from postern.routing.control.canaries import Canaries
from postern.routing.control.deeds import Deeds
from postern.routing.control.evidence import gather
from postern.routing.control.standings import Standings
from postern.routing.paths import groups
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.groups import Evidence, GroupState, Knobs, Remedy, Standing
from postern.routing.paths.health import is_good
from postern.routing.relays import Relay, Relays
from postern.routing.routes.route import Policy
from postern.routing.routes.table import RouteTable
from postern.runtime.clock import Clock, Instant

log = structlog.get_logger("postern.routing")

MAX_RELAYED = 5_000
"""Groups of which it is remembered that only a relay answered."""
WITHOUT_RELAY = ("gateway:", "[")
"""Customers' own servers, and address literals: a relay has no business with them."""
AGAIN_S = 10.0
"""After a route could not be made: there are too many, or the database did not answer."""
ALARM_S = 600.0
"""How often it is put on record that a relay locks us out."""


class Controller:
    """A ``PathWatch`` for delivery, and the chooser's ``Steering``. For one event loop.

    Args:
        board: where what was seen of paths is kept.
        census: the addresses of groups.
        table: the routes that hold.
        relays: where relays are.
        egresses: names of those that are none.
        standings: how groups stand.
        deeds: makes routes and takes them back, and tells of it.
        clock: for what is old.
        knobs: how careful it is.
    """

    def __init__(
        self,
        board: Board,
        census: Census,
        table: RouteTable,
        relays: Relays,
        egresses: Sequence[str],
        standings: Standings,
        deeds: Deeds,
        clock: Clock,
        knobs: Knobs,
    ) -> None:
        self._board = board
        self._census = census
        self._table = table
        self._relays = relays
        self._egresses = tuple(egresses)
        self._standings = standings
        self._deeds = deeds
        self._clock = clock
        self._knobs = knobs
        self._canaries = Canaries(standings, clock)
        self._relayed: dict[str, int] = {}
        self._suspects: dict[str, None] = {}
        self._alarm_at: dict[str, float] = {}
        self._deciding: set[str] = set()
        self._engaging = asyncio.Lock()
        self._full_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        board.on_change(self._path_changed)

    def serve(self, relays: Relays, egresses: Sequence[str], knobs: Knobs) -> None:
        """After a reload: other ways out, other care."""
        self._relays, self._egresses, self._knobs = relays, tuple(egresses), knobs

    # --- told by delivery -------------------------------------------------------------------------

    def saw(self, observation: Observation) -> None:
        """Note what showed of a path, and decide whether that changes anything."""
        self._board.saw(observation)
        group = observation.group
        if observation.sign is Sign.ANSWERED:
            if group in self._relayed:
                del self._relayed[group]
            if self._standings.of(group) is None:
                return
        if group.startswith(RELAY_GROUP):
            if observation.sign is Sign.LOCKED_OUT:
                self._alarm(observation)
            return
        self._weigh(observation)

    def lost(self, path: Path) -> None:
        """Another way answered first."""
        self._board.lost(path)

    def answers(self, path: Path, since: Instant) -> bool:
        """Whether it has answered anybody since then."""
        return self._board.answers(path, since)

    def _weigh(self, seen: Observation) -> None:
        if seen.path.egress not in self._egresses:
            return  # an address that some mail alone leaves from has troubles of its own
        standing = self._standings.of(seen.group)
        if standing is not None and standing.state is GroupState.RELAYED:
            self._count_test(standing, seen)
        elif standing is not None and standing.state is GroupState.DEGRADED and is_good(seen.sign):
            self._begin(self._recover(seen.group))
        elif seen.sign.is_network:
            self.suspect(seen.group)

    def _count_test(self, standing: Standing, seen: Observation) -> None:
        """Whoever takes the direct path while a relay is engaged tests it, a probe or a message."""
        good = is_good(seen.sign)
        if not seen.is_final or not (good or seen.sign.is_network):
            return
        ip, now, knobs = seen.path.ip, self._clock.now(), self._knobs
        if groups.tested(standing, ip, now, knobs, is_good=good) is not standing:
            self._begin(self._tested(seen.group, ip, is_good=good))

    # --- told and asked by the chooser ------------------------------------------------------------

    def may_relay(self, group: str) -> bool:
        """Whether a relay may be taken without a person's word: none has just withdrawn one."""
        standing = self._standings.of(group)
        if standing is None:
            return True
        # Asked where no route holds: one that was engaged has just been ended, and by whom is seen
        # in a moment.
        return not standing.state.is_relayed and self._clock.now() >= standing.quiet_until

    def takes_canary(self, group: str) -> bool:
        """Whether this attempt tries the direct path; at most one at a time, in all workers."""
        if self._canaries.takes(group):
            return True
        if self._canaries.wants(group):
            self._begin(self._canaries.claim(group))
        return False

    def ended(self, group: str, attempts: Sequence[AttemptRecord]) -> None:
        """How an attempt went: what a canary came to, and whether only the relay answered."""
        if not attempts:
            return
        is_relay = [self._relays[attempt.egress] is not None for attempt in attempts]
        if self._canaries.is_out(group):
            direct = [a for a, relay in zip(attempts, is_relay, strict=True) if not relay]
            if direct:
                verdict = verdicts.canary(direct)
                self._canaries.back(group)
                self._begin(self._canary_back(group, is_good=verdict))
        elif is_relay[-1] and not all(is_relay) and attempts[-1].outcome == "delivered":
            standing = self._standings.of(group)
            if standing is None or not standing.state.is_relayed:
                self._relayed[group] = self._relayed.get(group, 0) + 1
                self.suspect(group)
                if len(self._relayed) > MAX_RELAYED:
                    self._relayed.clear()

    # --- deciding ---------------------------------------------------------------------------------

    def suspect(self, group: str) -> None:
        """Look whether the group is blocked, and what may be done."""
        if group in self._deciding or self._table.of_group(group) is not None:
            return
        now = self._clock.now()
        evidence = self.evidence(group)
        if evidence.is_much and len(self._suspects) < MAX_RELAYED:
            self._suspects[group] = None
        if not evidence.is_enough(now):
            return
        self._suspects.pop(group, None)
        standing = self._standings.of(group) or Standing(group)
        can_have = not group.startswith(WITHOUT_RELAY) and not self._is_full
        relay = self._well_relay() if can_have else None
        policy = self._table.policy_of(group)
        name = "" if relay is None else relay.name
        remedy = groups.remedy(standing, policy, name, now)
        if remedy is not Remedy.NOTHING:
            self._deciding.add(group)
            self._begin(self._act(group, remedy, name, evidence))

    def can_help(self, standing: Standing) -> bool:
        """Whether anything may be done for a group that nothing answers for, were it looked at."""
        if standing.group.startswith(WITHOUT_RELAY) or self._is_full:
            return False
        if self._well_relay() is None:
            return False
        match self._table.policy_of(standing.group):
            case Policy.NEVER:
                return False
            case Policy.PROPOSE:
                return not standing.is_proposed
            case Policy.AUTOMATIC:
                return not standing.is_proposed or self._clock.now() >= standing.quiet_until

    def look_again(self) -> None:
        """Decide on groups whose other addresses have had the time to answer."""
        suspects, self._suspects = self._suspects, {}
        for group in suspects:
            self.suspect(group)

    def evidence(self, group: str) -> Evidence:
        """What speaks against its direct paths now."""
        addresses = {
            (egress, target.ip, target.port)
            for egress in self._egresses
            for target in self._census.targets(group, egress)
        }
        paths = [Path(*address, encrypted=True) for address in sorted(addresses)]
        relayed = self._relayed.get(group, 0)
        return gather(self._board, group, paths, self._egresses, relayed, self._clock.now())

    def _well_relay(self) -> Relay | None:
        """The first that is well and whose address is known."""
        return next((relay for relay in self._relays if self.is_well(relay.name)), None)

    def has_way(self, group: str, via: str) -> bool:
        """Whether mail of a relayed group has a way: its relay, or one that may stand in for it."""
        if self.is_well(via):
            return True
        is_automatic = self._table.policy_of(group) is Policy.AUTOMATIC
        return is_automatic and self._well_relay() is not None

    def has(self, name: str) -> bool:
        """Whether the configuration has this relay."""
        return self._relays[name] is not None

    def is_well(self, name: str) -> bool:
        """Whether a relay can take mail now, as far as is known."""
        relay = self._relays[name]
        if relay is None or not relay.targets:
            return False
        return not all(self._board.is_last(path) for path in relay.paths())

    @property
    def _is_full(self) -> bool:
        return self._clock.monotonic() < self._full_until

    async def _act(self, group: str, remedy: Remedy, relay: str, evidence: Evidence) -> None:
        try:
            if remedy is Remedy.ENGAGE:
                # One after the other: where many groups are dead, none of the last may have one.
                async with self._engaging:
                    if not self._is_full and not await self._deeds.engage(group, relay, evidence):
                        self._full_until = self._clock.monotonic() + AGAIN_S
            else:
                is_proposed = remedy is Remedy.PROPOSE
                await self._deeds.note(group, relay, evidence, is_proposed=is_proposed)
        finally:
            self._deciding.discard(group)

    async def _recover(self, group: str) -> None:
        self._relayed.pop(group, None)
        await self._deeds.recover(group)

    async def _tested(self, group: str, ip: str, *, is_good: bool) -> None:
        changed = await self._standings.change(
            group, lambda s: groups.tested(s, ip, self._clock.now(), self._knobs, is_good=is_good)
        )
        if changed is not None and changed[1].state is GroupState.PROBING:
            self._deeds.tell_trial(changed[1])
            await self._canaries.claim(group)

    async def _canary_back(self, group: str, *, is_good: bool | None) -> None:
        changed = await self._standings.change(
            group, lambda s: groups.canary_ended(s, self._clock.now(), is_good=is_good)
        )
        if changed is None:
            return
        standing = changed[1]
        if groups.is_proven(standing, self._knobs):
            why = f"{standing.canaries} messages in a row went direct"
            await self._deeds.withdraw(standing, why)
        elif standing.state is GroupState.PROBING:
            await self._canaries.claim(group)
        elif is_good is False:
            self._deeds.tell_failed_trial(standing)

    # --- alarms -----------------------------------------------------------------------------------

    def _alarm(self, seen: Observation) -> None:
        """A relay does not take our login, or our mail: a person has to mend that."""
        now = self._clock.monotonic()
        name = seen.path.egress
        if now >= self._alarm_at.get(name, 0.0):
            self._alarm_at[name] = now + ALARM_S
            self._deeds.tell_locked_out(name, seen.text)

    def _path_changed(self, group: str) -> None:
        """A relay became well, or is well no longer: mail of relayed groups may go, or waits."""
        if not group.startswith(RELAY_GROUP):
            return
        for standing in self._standings:
            if standing.state.is_relayed:
                self._deeds.tell_mood(standing)

    # --- life -------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("control.bug", error=repr(error), exc_info=error)

    async def settle(self) -> None:
        """Wait until everything that was decided is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
