"""What a worker knows of paths, put together; it outlives reloads."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from postern.delivery.probe import WayProbe
from postern.routing.machine import Machine
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.keeper import PathKeeper
from postern.routing.paths.prober import Prober
from postern.routing.paths.settings import ProbeSettings
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.settings import RoutingSettings
from postern.runtime.clock import Clock

SWEEP_S = 60.0


class Paths:
    """Board, file, census and tests of one worker."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self.file = data_dir / FILE_NAME
        self.keeper = PathKeeper(data_dir, clock)
        self.board = Board(clock, self.keeper.keep)
        self.census = Census(clock, self.keeper.meet)
        self._prober = Prober(self.board, self.census, self.keeper, clock)

    def begin(self) -> None:
        """Learn what is on file, and what other workers write from now on."""
        self.keeper.start(self.board.learn)

    def serve(
        self, probe: WayProbe, routing: RoutingSettings, settings: ProbeSettings, machine: Machine
    ) -> None:
        """Test as this configuration wants it, from now on."""
        prober = self._prober
        prober.settings = settings
        prober.probe = probe.probe
        prober.has_ipv6 = machine.has_ipv6
        prober.egress_of = lambda name: (
            None if (found := routing.egress(name)) is None else found.as_egress()
        )

    def test(self, group: str, egresses: Iterable[str]) -> None:
        """Have a group's addresses tested soon, whatever is known of them."""
        for egress in egresses:
            self._prober.ask(group, egress)

    async def keep_testing(self) -> None:
        """Test blocked paths, for ever."""
        await self._prober.keep_probing()

    async def keep_sweeping(self) -> None:
        """Forget what time has healed, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.board.sweep()

    async def close(self) -> None:
        """Break off tests, and write down what is left."""
        await self._prober.close()
        await self.keeper.close()
