"""What routes do to groups' mail now, in words for ``postern paths`` and ``postern queue``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from postern.cli.site import author, open_site
from postern.cli.when import moment
from postern.config.settings import Config
from postern.routing.control.deeds import proposal
from postern.routing.control.store import StandingStore
from postern.routing.paths.groups import GroupState, Standing
from postern.routing.paths.health import PathCondition
from postern.routing.paths.overview import STRAIGHT, Course
from postern.routing.paths.store.schema import FILE_NAME
from postern.routing.paths.store.view import PathView
from postern.routing.routes.route import PinnedRoute, RouteMatch
from postern.routing.routes.store import RouteStore
from postern.runtime.clock import Instant, SystemClock
from postern.runtime.database.trouble import DatabaseTroubleError


@dataclass(frozen=True, slots=True)
class Steered:
    """Routes that hold, and how groups stand.

    ``relays``: those that are configured; ``good_tests``, ``canaries``: how many are needed;
    ``domains``: by MX group, routes for single domains of it.
    """

    routes: tuple[PinnedRoute, ...]
    standings: dict[str, Standing]
    relays: tuple[str, ...]
    good_tests: int
    canaries: int
    now: Instant
    domains: Mapping[str, tuple[PinnedRoute, ...]] = field(default_factory=dict)

    def of_group(self, group: str) -> Course:
        """Which route a group's mail takes, what becomes of it, and what the group was found."""
        standing = self.standings.get(group)
        route = self._route_of(group)
        single = [
            f"for @{one.value} {self._route(one, None)}" for one in self.domains.get(group, ())
        ]
        if route is None and (standing is None or standing.state is not GroupState.DEGRADED):
            return Course(note="; ".join(single)) if single else STRAIGHT
        text = None if route is None else self._route(route, standing)
        if standing is None or standing.state is GroupState.DIRECT:
            return Course(text, "; ".join(single) or None)
        is_probing = standing.state is GroupState.PROBING
        notes = [self._degraded(standing), *single] if route is None else single
        return Course(
            text,
            "; ".join(notes) or None,
            PathCondition.PROBING if is_probing else PathCondition.BLOCKED,
            standing.failing,
            standing.since if is_probing else standing.blocked_since,
        )

    def relay_of(self, group: str) -> str:
        """The relay that a group's mail leaves through; empty: none."""
        route = self._route_of(group)
        return "" if route is None or route.via not in self.relays else route.via

    def _route_of(self, group: str) -> PinnedRoute | None:
        for route in self.routes:
            if route.match is RouteMatch.GROUP and route.value == group:
                return route
        return None

    def is_needed(self, route: PinnedRoute) -> str:
        """What tests of the direct path say of a route that Postern made; empty: nothing."""
        standing = self.standings.get(route.value)
        if not route.is_automatic or standing is None or standing.route != route.id:
            return ""
        word = "perhaps not" if standing.state is GroupState.PROBING else "yes"
        return f"{word}: {self._progress(standing)}"

    def about(self, groups: Iterable[str]) -> Iterator[str]:
        """A line for each of these groups that takes a route, or is blocked."""
        for group in groups:
            text = self.of_group(group).in_words
            if text:
                yield f"{group}: {text}"

    def _route(self, route: PinnedRoute, standing: Standing | None) -> str:
        until = "" if route.until is None else f", until {moment(route.until, self.now)}"
        word = "relay route" if route.is_automatic else "route"
        text = f"{word} {route.label} via {route.via}{until}"
        if standing is None or not route.is_automatic:
            return text
        return f"{text}; {self._progress(standing)}"

    def _progress(self, standing: Standing) -> str:
        if standing.state is GroupState.PROBING:
            return f"{standing.canaries} of {self.canaries} messages went direct"
        return f"{standing.good_tests} of {self.good_tests} good tests"

    def _degraded(self, standing: Standing) -> str:
        since = moment(standing.blocked_since, self.now)
        text = f"blocked: {standing.evidence} since {since}"
        if standing.is_proposed and self.relays:
            return f"{text}; to relay it: {proposal(standing.group, self.relays[0])}"
        return text


def steered(config: Config) -> Steered:
    """Read it; what can't be read of how groups stand is left out."""
    clock = SystemClock()
    with open_site() as site:
        routes = tuple(RouteStore(site.database, clock, author()).all())
    paths = config.paths
    return Steered(
        routes,
        {one.group: one for one in _standings(config)},
        tuple(egress.name for egress in config.egresses if egress.relay),
        paths.good_tests,
        paths.canaries,
        clock.now(),
        _by_group(config, routes),
    )


def _by_group(config: Config, routes: Iterable[PinnedRoute]) -> dict[str, tuple[PinnedRoute, ...]]:
    """Routes for single domains, by the group that each domain is known to be in."""
    of_domains = [one for one in routes if one.match is RouteMatch.DOMAIN]
    if not of_domains or not (config.data_dir / FILE_NAME).exists():
        return {}
    found: dict[str, tuple[PinnedRoute, ...]] = {}
    try:
        view = PathView.open(config.data_dir)
        try:
            for one in of_domains:
                group = view.group_of(one.value) or ""
                found[group] = (*found.get(group, ()), one)
        finally:
            view.close()
    except (DatabaseTroubleError, OSError):
        return {}
    return found


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
