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
from postern.mail.route import Egress, SmtpRoute
from postern.routing.machine import this_machine
from postern.routing.paths.health import PathCondition
from postern.routing.paths.settings import ProbeSettings
from postern.routing.settings import RoutingSettings
from postern.runtime.clock import SystemClock

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
