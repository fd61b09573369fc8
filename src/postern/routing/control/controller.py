"""The path controller of one worker: hears what attempts show, engages relays, takes them back.

All workers decide by the same rules on what is shared: the route is made in ``site.db``, where one
of them is the first, and how the group stands changes by compare-and-set in ``paths.db``. Whoever
is killed in between leaves a route without a standing, which is taken up again, or a standing
without its route, which is then over (see ``reconciling``).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence

import structlog

from postern.journal.record import AttemptRecord
from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import RELAY_GROUP, Egress, Target, TlsPolicy
from postern.routing.control import verdicts
from postern.routing.control.canaries import Canaries
from postern.routing.control.deeds import Deeds
from postern.routing.control.evidence import gather
from postern.routing.control.standings import Standings
from postern.routing.paths import groups
from postern.routing.paths.board import Board
from postern.routing.paths.groups import Evidence, GroupState, Knobs, Remedy, Standing
from postern.routing.paths.health import is_good
from postern.routing.relays import Relay, Relays
from postern.routing.routes.table import RouteTable
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.routing")

MAX_GROUPS = 5_000
"""Groups whose addresses are remembered, those met longest ago go first."""
MAX_ADDRESSES = 60
CLOSER_S = 60.0
"""How often a group's other addresses are asked to be tested."""
ALARM_S = 600.0
"""How often a relay that locks us out is told of in the log."""


class Controller:
    """A ``PathWatch`` for delivery, and the chooser's ``Steering``. For one event loop.

    Args:
        board: where what was seen of paths is kept.
        table: the routes that hold.
        relays: where relays are.
        standings: how groups stand.
        deeds: makes routes and takes them back, and tells of it.
        clock: for what is old.
        knobs: how careful it is.
        test: has a group's direct addresses tested soon, in the background.
    """

    def __init__(
        self,
        board: Board,
        table: RouteTable,
        relays: Relays,
        standings: Standings,
        deeds: Deeds,
        clock: Clock,
        knobs: Knobs,
        test: Callable[[str], None],
    ) -> None:
        self._board = board
        self._table = table
        self._relays = relays
        self._standings = standings
        self._deeds = deeds
        self._clock = clock
        self._knobs = knobs
        self._test = test
        self._canaries = Canaries(standings, clock)
        self._targets: OrderedDict[str, dict[Path, None]] = OrderedDict()
        self._relayed: dict[str, int] = {}
        self._closer_at: dict[str, float] = {}
        self._alarm_at: dict[str, float] = {}
        self._deciding: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        board.on_change(self._path_changed)

    def serve(self, relays: Relays, knobs: Knobs) -> None:
        """After a reload: other relays, other care."""
        self._relays, self._knobs = relays, knobs

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

    def _weigh(self, seen: Observation) -> None:
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

    def seen(self, group: str, egress: Egress, targets: Sequence[Target]) -> None:
        """Remember the addresses of a group."""
        known = self._targets.get(group)
        if known is None:
            known = self._targets[group] = {}
            if len(self._targets) > MAX_GROUPS:
                self._targets.popitem(last=False)
        for target in targets:
            is_encrypted = target.tls.policy is not TlsPolicy.NEVER
            known[Path(egress.name, target.ip, target.port, is_encrypted)] = None
        while len(known) > MAX_ADDRESSES:
            known.pop(next(iter(known)))

    def may_relay(self, group: str) -> bool:
        """Whether a relay may be taken without a person's word: none has just withdrawn one."""
        standing = self._standings.of(group)
        return standing is None or self._clock.now() >= standing.quiet_until

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
        elif is_relay[-1] and attempts[-1].outcome == "delivered":
            standing = self._standings.of(group)
            if standing is None or not standing.state.is_relayed:
                self._relayed[group] = self._relayed.get(group, 0) + 1
                self.suspect(group)
                if len(self._relayed) > MAX_GROUPS:
                    self._relayed.clear()

    # --- deciding ---------------------------------------------------------------------------------

    def suspect(self, group: str) -> None:
        """Look whether the group is blocked, and what may be done."""
        if group in self._deciding or self._table.of_group(group) is not None:
            return
        evidence = self.evidence(group)
        if not evidence.is_enough:
            if evidence.failures:
                self._look_closer(group)
            return
        now = self._clock.now()
        standing = self._standings.of(group) or Standing(group)
        relay = self._well_relay()
        policy = self._table.policy_of(group)
        name = "" if relay is None else relay.name
        remedy = groups.remedy(standing, policy, name, now)
        if remedy is not Remedy.NOTHING:
            self._look_closer(group)
            self._deciding.add(group)
            self._begin(self._act(group, remedy, name, evidence))

    def evidence(self, group: str) -> Evidence:
        """What speaks against its direct paths now."""
        targets = tuple(self._targets.get(group, ()))
        relayed = self._relayed.get(group, 0)
        return gather(self._board, group, targets, relayed, self._clock.now())

    def _look_closer(self, group: str) -> None:
        """Have the other addresses tested: those nobody has asked may answer."""
        now = self._clock.monotonic()
        if now >= self._closer_at.get(group, 0.0):
            if len(self._closer_at) > MAX_GROUPS:
                self._closer_at.clear()
            self._closer_at[group] = now + CLOSER_S
            self._test(group)

    def _well_relay(self) -> Relay | None:
        """The first that is well and whose address is known."""
        for relay in self._relays:
            if relay.targets and not all(self._board.is_last(path) for path in relay.paths()):
                return relay
        return None

    async def _act(self, group: str, remedy: Remedy, relay: str, evidence: Evidence) -> None:
        try:
            if remedy is Remedy.ENGAGE:
                await self._deeds.engage(group, relay, evidence)
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
            log.error("relay.locked_out", relay=name, host=seen.host, text=seen.text)
            self._deeds.tell_locked_out(name, seen.text)

    def _path_changed(self, group: str) -> None:
        """A relay became well, or is well no longer: its groups' mail may go, or waits."""
        if not group.startswith(RELAY_GROUP):
            return
        via = group.removeprefix(RELAY_GROUP)
        for standing in self._standings:
            if standing.state.is_relayed and standing.via == via:
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
