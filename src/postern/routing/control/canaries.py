"""Single messages that try the direct path of a relayed group: one at a time for all workers."""

from enum import Enum

from postern.routing.control.standings import Standings
from postern.routing.paths import groups
from postern.routing.paths.groups import GroupState
from postern.runtime.clock import Clock, Instant


class _Step(Enum):
    """Where this worker is with a group's canary."""

    ASKING = "asking"  # for the right to send it
    HELD = "held"  # the next message is it
    OUT = "out"


class Canaries:
    """Knows whose right to the next canary this worker has. For one event loop."""

    def __init__(self, standings: Standings, clock: Clock) -> None:
        self._standings = standings
        self._clock = clock
        self._steps: dict[str, _Step] = {}
        self._until: dict[str, Instant] = {}

    def takes(self, group: str) -> bool:
        """Whether the message at hand is the canary: at most one for each right."""
        if self._steps.get(group) is not _Step.HELD:
            return False
        until = self._until.pop(group, 0.0)
        if not self._is_ours_still(group, until):
            del self._steps[group]
            return False
        self._steps[group] = _Step.OUT
        return True

    def wants(self, group: str) -> bool:
        """Whether the right to the next one should be asked for."""
        standing = self._standings.of(group)
        if standing is None or standing.state is not GroupState.PROBING:
            self._forget(group)
            return False
        if self._steps.get(group) is _Step.ASKING:
            return False
        return self._clock.now() >= standing.canary_until

    async def claim(self, group: str) -> None:
        """Ask for the right, unless another worker has it."""
        self._steps[group] = _Step.ASKING
        changed = None
        try:
            changed = await self._standings.change(
                group, lambda standing: groups.claim_canary(standing, self._clock.now())
            )
        finally:
            if changed is None:
                self._steps.pop(group, None)
            else:
                self._steps[group] = _Step.HELD
                self._until[group] = changed[1].canary_until

    def is_out(self, group: str) -> bool:
        """Whether this worker waits for a canary of the group."""
        return self._steps.get(group) is _Step.OUT

    def back(self, group: str) -> None:
        """It has come back."""
        self._forget(group)

    def _forget(self, group: str) -> None:
        self._steps.pop(group, None)
        self._until.pop(group, None)

    def _is_ours_still(self, group: str, until: Instant) -> bool:
        """Whether nobody else has taken the right since it ran out here."""
        standing = self._standings.of(group)
        if standing is None or standing.state is not GroupState.PROBING:
            return False
        return standing.canary_until == until and self._clock.now() < until
