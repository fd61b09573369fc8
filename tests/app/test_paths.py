"""A worker's paths as it has them: delivery tells, tests tell, the other worker knows."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path as File

from tests.delivery.jobs import job, settings, until
from tests.delivery.scripted import Act, Script, peer

from postern.app.paths import Paths
from postern.delivery.probe import WayProbe
from postern.delivery.smtp import SmtpDelivery
from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Egress, SmtpRoute, Way
from postern.routing.machine import this_machine
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.health import PathCondition
from postern.routing.paths.keeper import PathKeeper
from postern.routing.paths.prober import Prober
from postern.routing.paths.settings import ProbeSettings
from postern.routing.settings import RoutingSettings
from postern.runtime.clock import FakeClock, SystemClock

HEDGE_S = 0.5
"""A sixth of what it is in life."""


@asynccontextmanager
async def worker(folder: File) -> AsyncIterator[tuple[Paths, SmtpDelivery]]:
    clock = SystemClock()
    paths = Paths(folder, clock)
    patience = settings(hedge_s=HEDGE_S)
    probe = WayProbe(patience, clock, paths.board)
    paths.begin()
    probes = ProbeSettings(first_retest_s=0.3, retest_s=0.3)
    paths.serve(probe, RoutingSettings("mx.host.test"), probes, this_machine())
    testing = asyncio.ensure_future(paths.keep_testing())
    smtp = SmtpDelivery(patience, clock, paths.board)
    try:
        yield paths, smtp
    finally:
        testing.cancel()
        await asyncio.gather(testing, return_exceptions=True)
        await smtp.close(0.1)
        await probe.close()
        await paths.close()


async def test_a_provider_that_is_silent_everywhere_is_known_as_a_whole_after_two_patiences(
    tmp_path: File,
) -> None:
    async with AsyncExitStack() as stack:
        script = Script(greeting=Act.SILENCE)
        peers = [await stack.enter_async_context(peer(script)) for _ in range(8)]
        one, smtp = await stack.enter_async_context(worker(tmp_path))
        other, _ = await stack.enter_async_context(worker(tmp_path))
        route = SmtpRoute(
            "google", Egress("direct"), tuple(server.target for server in peers), "tea.example"
        )
        one.census.met(route)
        began = time.monotonic()
        sending = asyncio.ensure_future(smtp.deliver(route.ways, job()))
        await until(lambda: len(one.board.of_group("google")) == len(peers))
        # Four are begun by the attempt itself, which then waits 20 s for one of them to end.
        assert time.monotonic() - began < 2 * HEDGE_S + 1.5
        await until(lambda: len(other.board.of_group("google")) == len(peers), within_s=1.5)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert not any(server.commands for server in peers)


async def test_a_path_that_was_blocked_for_long_is_tested_soon_again_once_it_answers(
    tmp_path: File,
) -> None:
    clock = FakeClock()
    keeper = PathKeeper(tmp_path, clock)
    board = Board(clock, keeper.keep)
    prober = Prober(board, Census(clock), keeper, clock)
    does, tested = [Sign.REFUSED], list[float]()

    async def probe(way: Way) -> None:
        tested.append(clock.now())
        path = Path("direct", way.target.ip, 25, encrypted=True)
        board.saw(Observation(path, "g", "mx", does[0], clock.now(), 0.0, is_probe=True))

    async def pass_by(seconds: float, step_s: float) -> None:
        for _ in range(round(seconds / step_s)):
            clock.advance(step_s)
            await prober.turn()
            await prober.wait_idle()

    prober.probe = probe
    keeper.start(board.learn)
    path = Path("direct", "192.0.2.1", 25, encrypted=True)
    board.saw(Observation(path, "g", "mx", Sign.REFUSED, clock.now(), 0.0))
    await pass_by(6 * 3600, 60)
    does[0] = Sign.ANSWERED
    before = len(tested)
    while len(tested) == before:
        await pass_by(60, 60)
    await pass_by(30, 1)
    assert board.of(path) is None
    await keeper.close()


async def test_an_address_that_answers_again_is_well_again_in_every_worker(tmp_path: File) -> None:
    script = Script(greeting=Act.RESET)
    async with (
        peer(script) as server,
        worker(tmp_path) as (one, smtp),
        worker(tmp_path) as (
            other,
            _,
        ),
    ):
        route = SmtpRoute("tea.example", Egress("direct"), (server.target,), "tea.example")
        await smtp.deliver(route.ways, job())
        await until(
            lambda: (
                [s.condition for s in other.board.of_group("tea.example")]
                == [PathCondition.BLOCKED]
            )
        )
        script.greeting = "220 peer.test ESMTP"
        await until(lambda: not one.board.of_group("tea.example"), within_s=20)
        await until(lambda: not other.board.of_group("tea.example"), within_s=2)
        assert set(server.verbs()) == {"EHLO", "QUIT"}
