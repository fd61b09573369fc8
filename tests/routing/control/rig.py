"""Workers with a path controller each, over the same two databases, in virtual time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as File

from postern.directory.store.site import SiteStore
from postern.journal.record import AttemptRecord, ChangeRecord
from postern.mail.outcome import Cause
from postern.mail.paths import GroupMood, Observation, Path, Sign
from postern.mail.route import Egress, SmtpRoute, Target
from postern.routing.control.controller import Controller
from postern.routing.control.deeds import Deeds, Ties
from postern.routing.control.reconciling import Reconciling
from postern.routing.control.standings import Standings
from postern.routing.control.store import StandingStore
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.groups import GroupState, Knobs
from postern.routing.relays import Relays
from postern.routing.routes.route import BY_POSTERN, PinnedRoute, Policy
from postern.routing.routes.store import RouteStore
from postern.routing.routes.table import RouteTable
from postern.routing.settings import EgressSettings, HostPort
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

MX = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")
RELAY_IP, RELAY_PORT = "198.51.100.5", 587
DAY_S = 86_400.0
KNOBS = Knobs(retest_s=1800.0, good_tests=3, canaries=3)


@dataclass
class News:
    """The queue, as far as it is told."""

    told: list[tuple[str, GroupMood]] = field(default_factory=list)

    def group_changed(self, group: str, mood: GroupMood) -> None:
        self.told.append((group, mood))


class Rig:
    """One worker."""

    def __init__(
        self,
        folder: File,
        clock: FakeClock,
        policy: Policy = Policy.AUTOMATIC,
        *,
        has_relay: bool = True,
        more_relays: Sequence[EgressSettings] = (),
    ) -> None:
        self.clock = clock
        self.site = SiteStore.open(folder, clock, "worker-0")
        self.board = Board(clock)
        self.census = Census(clock)
        self.table = RouteTable(clock, policy)
        settings = (EgressSettings("us1", HostPort(RELAY_IP, RELAY_PORT)),) if has_relay else ()
        settings = (*settings, *more_relays)
        relays = Relays(settings, FakeResolver(), clock, lambda _ip, _port: False, want_ipv6=False)
        self.standings = Standings(StandingStore(folder / "paths.db"), clock)
        self.standings.open()
        self.news = News()
        self.journal: list[ChangeRecord] = []
        self.tested: list[str] = []
        self.routes = RouteStore(self.site.database, clock, BY_POSTERN)
        self.people = RouteStore(self.site.database, clock, "cli:li")
        ties = Ties(self.journal.append, self.news, self.reread, self._has_way)
        self.deeds = Deeds(self.routes, self.standings, ties, clock, KNOBS, 14 * DAY_S)
        self.controller = Controller(
            self.board, self.census, self.table, relays, ("direct",), self.standings, self.deeds,
            clock, KNOBS,
        )  # fmt: skip
        self.reconciling = Reconciling(
            self.controller, self.deeds, self.standings, self.table, self.reread,
            {"tea.example": "google"}.get, self.tested.append, KNOBS, clock,
        )  # fmt: skip
        targets = tuple(Target(f"mx{n}.example", ip, 25) for n, ip in enumerate(MX, 1))
        self.census.met(SmtpRoute("google", Egress("direct"), targets, "tea.example"))
        self.reread()

    def _has_way(self, group: str, relay: str) -> bool:
        return self.controller.has_way(group, relay)

    def reread(self) -> None:
        self.table.load(self.people.all(), self.people.policies())

    # --- what shows -------------------------------------------------------------------------------

    def see(
        self,
        ip: str,
        sign: Sign,
        *,
        is_probe: bool = False,
        is_final: bool = True,
        egress: str = "direct",
        group: str = "google",
    ) -> None:
        path = Path(egress, ip, 25, encrypted=True)
        self.controller.saw(
            Observation(
                path, group, "mx", sign, self.clock.now(), 0.0, is_probe=is_probe,
                is_final=is_final,
            )
        )  # fmt: skip

    def see_relay(self, sign: Sign, text: str = "") -> None:
        path = Path("us1", RELAY_IP, RELAY_PORT, encrypted=True)
        self.controller.saw(
            Observation(path, "relay:us1", "us1.example", sign, self.clock.now(), 0.0, text)
        )

    async def block(self, addresses: Sequence[str] = MX, sign: Sign = Sign.REFUSED) -> None:
        """An attempt found all of these dead."""
        for ip in addresses:
            self.clock.advance(0.1)
            self.see(ip, sign)
        await self.controller.settle()

    async def test_directly(self, results: str, ip: str = MX[0], step_s: float = 1800.0) -> None:
        """Probes of one address, ``+`` good and ``-`` bad, so far apart."""
        for result in results:
            self.clock.advance(step_s)
            self.see(ip, Sign.ANSWERED if result == "+" else Sign.REFUSED, is_probe=True)
            await self.controller.settle()

    async def end(self, *attempts: AttemptRecord) -> None:
        self.controller.ended("google", attempts)
        await self.controller.settle()

    async def look(self) -> None:
        await self.reconciling.look()
        await self.controller.settle()

    # --- how it stands ----------------------------------------------------------------------------

    def stands(self) -> GroupState:
        standing = self.standings.of("google")
        return GroupState.DIRECT if standing is None else standing.state

    def active(self) -> list[PinnedRoute]:
        return self.people.all()

    def actions(self) -> list[str]:
        return [record.action for record in self.journal]

    async def close(self) -> None:
        await self.controller.settle()
        await self.standings.close()
        self.site.close()


def tried(egress: str, outcome: str = "delivered", cause: Cause | None = None) -> AttemptRecord:
    """One way of an attempt."""
    word = "" if cause is None else cause.value
    return AttemptRecord(0.0, egress, "mx", "192.0.2.1", "", 0.1, "250", outcome, (), word)


DELIVERED = tried("direct")
RELAYED = tried("us1")
FAILED = tried("direct", "deferred", Cause.SILENT)
ANSWERED = tried("direct", "refused", Cause.REPLY)
