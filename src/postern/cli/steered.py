"""What routes do to groups' mail now, in words for ``postern paths`` and ``postern queue``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from postern.cli.site import author, open_site
from postern.cli.when import moment
from postern.config.settings import Config
from postern.routing.control.deeds import proposal
from postern.routing.control.store import StandingStore
from postern.routing.paths.groups import GroupState, Standing
from postern.routing.paths.health import PathCondition
from postern.routing.paths.overview import STRAIGHT, Course
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.routes.route import PinnedRoute, RouteMatch
from postern.routing.routes.store import RouteStore
from postern.runtime.clock import Instant, SystemClock
from postern.runtime.database.trouble import DatabaseTroubleError


@dataclass(frozen=True, slots=True)
class Steered:
    """Routes that hold, and how groups stand.

    ``relay``: the first that is configured; ``good_tests``, ``canaries``: how many are needed.
    """

    routes: tuple[PinnedRoute, ...]
    standings: dict[str, Standing]
    relay: str
    good_tests: int
    canaries: int
    now: Instant

    def of_group(self, group: str) -> Course:
        """Which route a group's mail takes, what becomes of it, and what the group was found."""
        standing = self.standings.get(group)
        route = self._route_of(group)
        if route is None and (standing is None or standing.state is not GroupState.DEGRADED):
            return STRAIGHT
        text = None if route is None else self._route(route, standing)
        if standing is None or standing.state is GroupState.DIRECT:
            return Course(text)
        is_probing = standing.state is GroupState.PROBING
        return Course(
            text,
            self._degraded(standing) if route is None else None,
            PathCondition.PROBING if is_probing else PathCondition.BLOCKED,
            standing.failing,
            standing.since if is_probing else standing.blocked_since,
        )

    def _route_of(self, group: str) -> PinnedRoute | None:
        for route in self.routes:
            if route.match is RouteMatch.GROUP and route.value == group:
                return route
        return None

    def about(self, groups: Iterable[str]) -> Iterator[str]:
        """A line for each of these groups that takes a route, or is blocked."""
        for group in groups:
            course = self.of_group(group)
            text = course.route or course.note
            if text is not None:
                yield f"{group}: {text}"

    def _route(self, route: PinnedRoute, standing: Standing | None) -> str:
        until = "" if route.until is None else f", until {moment(route.until, self.now)}"
        word = "relay route" if route.is_automatic else "route"
        text = f"{word} {route.label} via {route.via}{until}"
        if standing is None or not route.is_automatic:
            return text
        if standing.state is GroupState.PROBING:
            return f"{text}; {standing.canaries} of {self.canaries} messages went direct"
        return f"{text}; {standing.good_tests} of {self.good_tests} good tests"

    def _degraded(self, standing: Standing) -> str:
        since = moment(standing.blocked_since, self.now)
        text = f"blocked: {standing.evidence} since {since}"
        if standing.is_proposed and self.relay:
            return f"{text}; to relay it: {proposal(standing.group, self.relay)}"
        return text


def steered(config: Config) -> Steered:
    """Read it; what can't be read of how groups stand is left out."""
    clock = SystemClock()
    with open_site() as site:
        routes = tuple(RouteStore(site.database, clock, author()).all())
    relays = [egress.name for egress in config.egresses if egress.relay]
    paths = config.paths
    return Steered(
        routes,
        {one.group: one for one in _standings(config)},
        relays[0] if relays else "",
        paths.good_tests,
        paths.canaries,
        clock.now(),
    )


def _standings(config: Config) -> list[Standing]:
    path = config.data_dir / FILE_NAME
    if not path.exists():
        return []
    store = StandingStore(path)
    try:
        return store.all()
    except (DatabaseTroubleError, OSError):
        return []
    finally:
        store.close()
