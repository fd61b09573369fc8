"""The path controller of one worker, put together; it outlives reloads."""

import asyncio
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import structlog

from postern.app.paths import Paths
from postern.app.ways_out import control_settings, probe_settings
from postern.config.settings import Config
from postern.delivery.probe import WayProbe
from postern.directory.reader import Directory
from postern.directory.store.site import SiteStore
from postern.mail.paths import GroupMood, GroupNews
from postern.routing.chooser import Chooser, Fits
from postern.routing.control.controller import Controller
from postern.routing.control.deeds import Deeds, Ties
from postern.routing.control.reconciling import Reconciling
from postern.routing.control.settings import ControlSettings
from postern.routing.control.standings import Standings
from postern.routing.control.store import StandingStore
from postern.routing.loops import Ourselves
from postern.routing.machine import Machine
from postern.routing.mandates import Mandates
from postern.routing.paths.groups import Knobs
from postern.routing.paths.settings import ProbeSettings
from postern.routing.relays import Relays
from postern.routing.router import Router
from postern.routing.routes.route import BY_POSTERN
from postern.routing.routes.store import RouteStore
from postern.routing.routes.table import RouteTable
from postern.routing.settings import Ipv6Policy, RoutingSettings
from postern.runtime.clock import Clock
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.jobs import Job
from postern.runtime.resolver.lookup import Lookup
from postern.spool.spool import Spool

log = structlog.get_logger("postern.worker")

AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class WaysOut:
    """What one configuration says of egresses and paths: a reload makes another."""

    routing: RoutingSettings
    probing: ProbeSettings
    control: ControlSettings
    router: Router
    relays: Relays
    mandates: Mandates
    chooser: Chooser
    probe: WayProbe
    machine: Machine

    async def close(self) -> None:
        """Ask and test no more."""
        await asyncio.gather(self.mandates.close(), self.probe.close())


class _News:
    """The queue, once there is one."""

    def __init__(self) -> None:
        self.queue: GroupNews | None = None

    def group_changed(self, group: str, mood: GroupMood) -> None:
        """Pass it on."""
        if self.queue is not None:
            self.queue.group_changed(group, mood)


class Steering:
    """Routes, how groups stand, and who decides about them."""

    def __init__(
        self,
        data_dir: Path,
        site: SiteStore,
        directory: Directory,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self.paths = paths = Paths(data_dir, clock)
        self.hop_key = blake2b(site.trace_key(), person=b"postern hop", digest_size=32).digest()
        """Of the marks on mail that leaves through relays: made from the site's own key."""
        self._clock = clock
        self._site = site
        self._store = RouteStore(site.database, clock, BY_POSTERN)
        self._directory = directory
        self._news = _News()
        self.table = RouteTable(clock)
        knobs = Knobs()
        self._standings = Standings(StandingStore(paths.file), clock)
        ties = Ties(spool.changed, self._news, self.reread, self._has_way)
        self._deeds = Deeds(self._store, self._standings, ties, clock, knobs, 0.0)
        nothing = Relays((), None, clock, _is_nobody, want_ipv6=False)
        self.controller = Controller(
            paths.board, paths.census, self.table, nothing, (), self._standings, self._deeds,
            clock, knobs,
        )  # fmt: skip
        self._egresses: tuple[str, ...] = ()
        self._reconciling = Reconciling(
            self.controller,
            self._deeds,
            self._standings,
            self.table,
            self.refresh,
            lambda _domain: None,
            lambda group: self.paths.test(group, self._egresses),
            knobs,
            clock,
        )
        self._ways: WaysOut | None = None
        self._looking_up: asyncio.Task[None] | None = None
        self._is_stale = True
        self._again_at = 0.0
        directory.on_change(self.reread)

    def _has_way(self, group: str, relay: str) -> bool:
        return self.controller.has_way(group, relay)

    def begin(self, queue: GroupNews) -> None:
        """Read what stands; from now on ``queue`` hears of groups."""
        self._news.queue = queue
        self.paths.begin()
        self._standings.open()
        self.reread()

    def ways_out(
        self,
        config: Config,
        workers: int,
        routing: RoutingSettings,
        lookup: Lookup,
        router: Router,
        probe: WayProbe,
        machine: Machine,
        fits: Fits,
    ) -> WaysOut:
        """The ways out as ``config`` has them; nothing of it counts before ``serve``."""
        clock = self._clock
        ourselves = Ourselves(routing.hostname, routing.listeners, machine.owns)
        want_ipv6 = routing.ipv6 is not Ipv6Policy.NEVER
        is_us = ourselves.is_our_address
        relays = Relays(routing.relays, lookup, clock, is_us, want_ipv6=want_ipv6)
        mandates = Mandates(lookup, clock, routing.hostname, self._reconciling.open_through)
        if self._ways is not None:
            mandates.inherit(self._ways.mandates, relays.inherit(self._ways.relays))
        board, controller = self.paths.board, self.controller
        chooser = Chooser(
            routing, board, self.table, relays, mandates, controller, self.refresh, fits
        )
        probing, control = probe_settings(config, workers), control_settings(config)
        return WaysOut(routing, probing, control, router, relays, mandates, chooser, probe, machine)

    def serve(self, ways: WaysOut) -> None:
        """Steer as this configuration wants it, from now on. On the running loop."""
        self._ways = ways
        self.paths.serve(ways.probe, ways.routing, ways.probing, ways.machine)
        egresses = (one.name for one in ways.routing.direct_egresses)
        self._egresses = tuple(name for name in egresses if name not in ways.routing.reserved)
        self.table.default = ways.control.policy
        self.controller.serve(ways.relays, self._egresses, ways.control.knobs)
        self._deeds.serve(ways.control.knobs, ways.control.lasts_s)
        self._reconciling.serve(ways.router.group_of, ways.control.knobs)
        if self._looking_up is not None:
            self._looking_up.cancel()
        loop = asyncio.get_running_loop()
        self._looking_up = loop.create_task(self._keep_looking_up(ways))

    @property
    def jobs(self) -> dict[str, Job]:
        """What goes on in the background."""
        return {
            "routes": self._reconciling.keep_going,
            "tests of paths": self.paths.keep_testing,
            "what is known of paths": self.paths.keep_sweeping,
        }

    def refresh(self) -> None:
        """Read what people changed since; a few microseconds where nobody did."""
        self._directory.refresh()
        if self._is_stale and self._clock.monotonic() >= self._again_at:
            self.reread()

    def reread(self) -> None:
        """Read the routes now; what the database does not tell is asked again in a moment."""
        try:
            self.table.load(self._store.all(), self._store.policies())
        except DatabaseTroubleError as error:
            if not self._is_stale:
                log.warning("worker.routes", text=str(error))
            self._is_stale = True
            self._again_at = self._clock.monotonic() + AGAIN_S
        else:
            self._is_stale = False

    async def close(self) -> None:
        """Let what was decided be done, and close the file."""
        if self._looking_up is not None:
            self._looking_up.cancel()
            await asyncio.gather(self._looking_up, return_exceptions=True)
        await self.controller.settle()
        await self._standings.close()
        await self.paths.close()

    async def _keep_looking_up(self, ways: WaysOut) -> None:
        """Know the relays, and what they may carry, before they are needed."""
        await ways.relays.look_up()
        names = self._site.domain_names
        while True:
            try:
                await asyncio.gather(
                    ways.relays.keep_looking_up(), ways.mandates.keep_asking(names, ways.relays)
                )
            except Exception:
                log.exception("relay.bug")
            await asyncio.sleep(AGAIN_S)


def _is_nobody(_ip: str, _port: int) -> bool:
    return False
