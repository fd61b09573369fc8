"""A worker's board, keeper and census over a folder, as several workers have them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as File

from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Egress, SmtpRoute, Target
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.health import PathCondition
from postern.routing.paths.keeper import PathKeeper
from postern.runtime.clock import Clock, FakeClock

ONE = Path("direct", "192.0.2.1", 25, encrypted=True)
TWO = Path("direct", "192.0.2.2", 25, encrypted=True)


@dataclass(frozen=True)
class Rig:
    clock: Clock
    board: Board
    keeper: PathKeeper
    census: Census

    def see(self, sign: Sign, path: Path = ONE, *, group: str = "tea.example") -> None:
        if isinstance(self.clock, FakeClock):
            self.clock.advance(1)
        now = self.clock.now()
        self.board.saw(Observation(path, group, "mx.tea.example", sign, now, 0.0, sign.value))

    def block(self, path: Path = ONE, *, group: str = "tea.example") -> None:
        self.see(Sign.REFUSED, path, group=group)
        self.see(Sign.REFUSED, path, group=group)

    def condition(self, path: Path = ONE) -> PathCondition | None:
        state = self.board.of(path)
        return None if state is None else state.condition


@asynccontextmanager
async def worker(folder: File, clock: Clock | None = None) -> AsyncIterator[Rig]:
    """One worker over ``folder``, from its start to its stop."""
    clock = clock or FakeClock()
    keeper = PathKeeper(folder, clock)
    board = Board(clock, keeper.keep)
    keeper.start(board.learn)
    try:
        yield Rig(clock, board, keeper, Census(clock, keeper.meet))
    finally:
        await keeper.close()


async def until(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - other threads bring it about
            await asyncio.sleep(0.005)


def route(
    group: str, domain: str, *ips: str, egress: str = "direct", host: str = "mx.tea.example"
) -> SmtpRoute:
    """A route to these addresses."""
    targets = tuple(Target(host, ip, 25) for ip in ips)
    return SmtpRoute(group, Egress(egress), targets, domain)
