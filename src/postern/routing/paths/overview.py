"""Groups and their addresses as people see them: what is on file, put together. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from postern.mail.paths import Path
from postern.mail.route import RELAY_GROUP
from postern.routing.paths import health
from postern.routing.paths.health import PathCondition, PathState
from postern.routing.paths.store.view import KnownAddress, PathView
from postern.runtime.clock import Instant

_WITHOUT_DOMAINS = (RELAY_GROUP, "gateway:")
"""Groups that somebody wrote down; of others without a domain nothing is told while all is well."""
_WORST = (
    PathCondition.BLOCKED,
    PathCondition.PROBING,
    PathCondition.DEGRADED,
    PathCondition.HEALTHY,
)


Place = tuple[str, str, int]
"""Egress, address and port."""


@dataclass(frozen=True, slots=True)
class Course:
    """What was decided about a group's mail, beyond what its addresses show.

    Args:
        route: the route that it takes now, in words; None: straight to its hosts.
        note: what is to be said of a group that takes none, and of its domains, in words.
        condition: what the group was found to be, when that was decided; None: nothing was.
        failing: the addresses that spoke for it; empty: not known.
        since: since when.
    """

    route: str | None = None
    note: str | None = None
    condition: PathCondition | None = None
    failing: tuple[str, ...] = ()
    since: Instant | None = None

    @property
    def in_words(self) -> str:
        """Route and note, as they stand beside the group's name."""
        return "; ".join(text for text in (self.route, self.note) if text)


CourseOf = Callable[[str], Course]

STRAIGHT = Course()


@dataclass(frozen=True, slots=True)
class AddressLine:
    """One address through one egress.

    ``place``: when it is tried, 1 is first; 0: no domain met lately has it. ``state`` is None while
    nothing bad is known. ``next_test_at``: no sooner than then, if it is tested.
    """

    host: str
    ip: str
    port: int
    egress: str
    place: int
    state: PathState | None
    next_test_at: Instant | None = None

    @property
    def condition(self) -> PathCondition:
        """How well it does."""
        return PathCondition.HEALTHY if self.state is None else self.state.condition


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group: how well it does as a whole, since when, and its addresses in their order.

    ``route`` and ``note``: see ``Course``.
    """

    name: str
    domains: int
    condition: PathCondition
    since: Instant | None
    route: str | None
    addresses: Sequence[AddressLine] = field(default=())
    note: str | None = None

    @property
    def down(self) -> int:
        """Addresses that no egress reaches."""
        return sum(
            all(line.condition in _DOWN for line in lines) for lines in self.by_address().values()
        )

    def by_address(self) -> Mapping[tuple[str, int], Sequence[AddressLine]]:
        """The lines of each address: one for each egress."""
        found: dict[tuple[str, int], list[AddressLine]] = defaultdict(list)
        for line in self.addresses:
            found[line.ip, line.port].append(line)
        return found


_DOWN = frozenset({PathCondition.BLOCKED, PathCondition.PROBING})
_MILD = frozenset({PathCondition.HEALTHY, PathCondition.DEGRADED})


def look(
    view: PathView,
    now: Instant,
    *,
    group: str | None = None,
    only_bad: bool = False,
    course_of: CourseOf | None = None,
) -> list[GroupLine]:
    """The groups on file, worst first.

    Args:
        view: the file.
        now: for what time has healed.
        group: this one alone; also by one of its domains.
        only_bad: those of which something bad is known, or whose mail takes another route.
        course_of: what was decided about a group's mail.

    Raises:
        DatabaseTroubleError: the file could not be read.
    """
    if group is not None:
        group = view.group_of(group) or group
    states: dict[str, list[PathState]] = defaultdict(list)
    at: dict[Place, list[PathState]] = defaultdict(list)
    for state in view.states():
        left = health.as_of(state, now)
        if left is not None and left.condition is not PathCondition.HEALTHY and left.group:
            states[left.group].append(left)
            at[_place(left.path)].append(left)
    wanted = None if group is None else [group]
    if group is None and only_bad and course_of is None:
        # Those that are well are many, and none of them is asked for.
        wanted = sorted({*states, *view.groups_at({ip for _, ip, _ in at})})
    addresses: dict[str, list[KnownAddress]] = defaultdict(list)
    for one in view.addresses(wanted):
        addresses[one.group].append(one)
    counts, tests = view.domain_counts(wanted), view.next_tests()
    names = {*addresses, *states} if group is None else {group} & {*addresses, *states}
    found = []
    for name in names:
        lines = _lines(addresses.get(name, ()), states.get(name, ()), at, tests)
        course = course_of(name) if course_of is not None else STRAIGHT
        domains = counts.get(name, 0)
        is_bad = course is not STRAIGHT or any(line.state is not None for line in lines)
        if only_bad and not is_bad:
            continue
        if is_bad or domains or group is not None or name.startswith(_WITHOUT_DOMAINS):
            found.append(_group(name, domains, course, lines))
    return sorted(found, key=lambda line: (_WORST.index(line.condition), -line.domains, line.name))


def _lines(
    known: Sequence[KnownAddress],
    own: Iterable[PathState],
    at: Mapping[Place, Sequence[PathState]],
    tests: Mapping[Path, Instant],
) -> list[AddressLine]:
    """A line for every address and egress; the encrypted path and that in clear are one.

    An address that several groups have is as well, or not, in all of them.
    """
    lines, seen = [], set[Place]()
    for one in known:
        place = (one.egress, one.ip, one.port)
        seen.add(place)
        bad = min(at.get(place, ()), key=_rank, default=None)
        lines.append(_line(one.host, place, one.place, bad, tests))
    for place in dict.fromkeys(_place(state.path) for state in own):
        if place not in seen:
            bad = min(at[place], key=_rank)
            lines.append(_line(bad.host, place, 0, bad, tests))
    return lines


def _line(
    host: str,
    place: Place,
    order: int,
    state: PathState | None,
    tests: Mapping[Path, Instant],
) -> AddressLine:
    egress, ip, port = place
    next_test_at = None
    if state is not None and state.condition in _DOWN:
        next_test_at = tests.get(state.path)
    return AddressLine(host, ip, port, egress, order, state, next_test_at)


def _place(path: Path) -> Place:
    return path.egress, path.ip, path.port


def _rank(state: PathState) -> tuple[int, bool]:
    return _WORST.index(state.condition), not state.path.encrypted


def _group(name: str, domains: int, course: Course, lines: list[AddressLine]) -> GroupLine:
    """Blocked: no address is reached by any egress, or that was decided. Degraded: some is not."""
    line = GroupLine(name, domains, PathCondition.HEALTHY, None, course.route, lines, course.note)
    condition, since = _shown(line)
    if course.condition is not None and condition in _MILD:
        condition, since = _decided(course, lines), course.since
    return replace(line, condition=condition, since=since)


def _shown(line: GroupLine) -> tuple[PathCondition, Instant | None]:
    """What the addresses show by themselves."""
    bad = [one.state for one in line.addresses if one.state is not None]
    if not bad:
        return PathCondition.HEALTHY, None
    if line.down < len(line.by_address()):
        return PathCondition.DEGRADED, min(state.since for state in bad)
    probing = [s.since for s in bad if s.condition is PathCondition.PROBING]
    if probing:
        return PathCondition.PROBING, min(probing)
    # It is blocked as a whole since its last address was.
    return PathCondition.BLOCKED, max(state.since for state in bad)


def _decided(course: Course, lines: Sequence[AddressLine]) -> PathCondition:
    """A blocked group of which one that spoke for it is well again is only probing."""
    bad = {line.ip for line in lines if line.state is not None}
    well = {line.ip for line in lines} - bad
    if course.condition is PathCondition.BLOCKED and well.intersection(course.failing):
        return PathCondition.PROBING
    return course.condition or PathCondition.HEALTHY
