"""What the path controller does: routes made and taken back, each on record and told of."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from shlex import quote

import structlog

from postern.directory.model import Problem, Refused
from postern.journal.record import ChangeRecord
from postern.mail.paths import GroupMood, GroupNews
from postern.routing.control.standings import Standings
from postern.routing.paths import groups
from postern.routing.paths.groups import Evidence, GroupState, Knobs, Standing
from postern.routing.routes.route import BY_POSTERN, PinnedRoute, RouteMatch
from postern.routing.routes.store import RouteDraft, RouteStore
from postern.runtime.clock import Clock, Instant, rfc3339
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.routing")


@dataclass(frozen=True, slots=True)
class Ties:
    """Whom the controller speaks to.

    Args:
        journal: takes records of what changed.
        news: wakes the mail that waits, or holds it back.
        reread: reads the routes from ``site.db`` now.
        has_way: whether the mail of a group that a relay takes has a way now: group, relay.
    """

    journal: Callable[[ChangeRecord], None]
    news: GroupNews
    reread: Callable[[], None]
    has_way: Callable[[str, str], bool]


class Deeds:
    """Does them. For one event loop; what blocks is done on threads.

    Args:
        routes: makes and ends routes, in Postern's own name.
        standings: how groups stand.
        ties: whom to tell.
        clock: for the records.
        knobs: how careful the machine is.
        lasts_s: how long a route holds that Postern makes.
    """

    def __init__(
        self,
        routes: RouteStore,
        standings: Standings,
        ties: Ties,
        clock: Clock,
        knobs: Knobs,
        lasts_s: float,
    ) -> None:
        self._routes = routes
        self._standings = standings
        self._ties = ties
        self._clock = clock
        self._knobs = knobs
        self._lasts_s = lasts_s
        self._moods: dict[str, GroupMood] = {}

    def serve(self, knobs: Knobs, lasts_s: float) -> None:
        """After a reload."""
        self._knobs, self._lasts_s = knobs, lasts_s

    # --- deeds ------------------------------------------------------------------------------------

    async def engage(self, group: str, relay: str, evidence: Evidence) -> bool:
        """Have a relay take a group's mail; False: no route can be made now, for no group."""
        reason = f"{group} is blocked: {evidence.text()} since {hour(evidence.since)}"
        draft = RouteDraft(RouteMatch.GROUP, group, relay, reason, self._lasts_s, is_automatic=True)
        try:
            made = await asyncio.to_thread(self._routes.engage, draft, self._knobs.quiet_s)
        except DatabaseTroubleError as error:
            log.warning("route.not_engaged", group=group, relay=relay, error=str(error))
            return False
        if isinstance(made, Refused):
            log.warning("route.not_engaged", group=group, relay=relay, error=made.text)
            return made.problem is not Problem.NOT_ALLOWED
        route, is_new = made
        self._ties.reread()
        if not route.holds(self._clock.now()):
            await self._keep_quiet(route)
            return True

        def engaged(standing: Standing) -> Standing | None:
            if standing.state.is_relayed and standing.route == route.id:
                return None  # another worker has noted it
            return groups.engaged(standing, route.id, route.via, evidence, self._clock.now())

        await self._standings.change(group, engaged)
        if is_new:
            log.warning("route.engaged", group=group, route=route.label, via=relay, why=reason)
            self._record("route.engaged", group, f"{route.label} via {relay}: {reason}")
        self._tell(group, GroupMood.OPEN)
        return True

    async def _keep_quiet(self, route: PinnedRoute) -> None:
        """A person ended that route, and the standing that said so is gone."""
        ended_at = route.temporary.ended_at or self._clock.now()
        await self._standings.change(
            route.value,
            lambda s: (
                groups.withdrawn(s, ended_at, self._knobs, by_person=True)
                if self._clock.now() >= s.quiet_until
                else None
            ),
        )

    async def note(self, group: str, relay: str, evidence: Evidence, *, is_proposed: bool) -> None:
        """Put on record that nothing answers; propose a relay where a person has to say yes."""
        if self._standings.is_full:
            return
        now = self._clock.now()
        changed = await self._standings.change(
            group, lambda s: groups.degraded(s, evidence, now, is_proposed=is_proposed)
        )
        if changed is None:
            return
        text = f"{evidence.text()} since {hour(evidence.since)}"
        if is_proposed:
            text += f"; proposed: {proposal(group, relay)}"
        log.info("group.blocked", group=group, why=text)
        self._record("route.proposed" if is_proposed else "group.blocked", group, text)
        self._tell(group, GroupMood.SHUT)

    async def recover(self, group: str) -> None:
        """A group that had no relay answers again."""
        changed = await self._standings.change(
            group, lambda standing: groups.recovered(standing, self._clock.now())
        )
        if changed is not None:
            log.info("group.direct", group=group)
            self._record("group.direct", group, "its mail hosts answer again")
            self._tell(group, GroupMood.OPEN)

    async def withdraw(self, standing: Standing, why: str) -> None:
        """Take the relay back: first the route ends, for mail goes by routes."""
        group = standing.group
        try:
            ended = await asyncio.to_thread(self._end, standing.route)
        except DatabaseTroubleError as error:
            log.warning("route.not_withdrawn", group=group, error=str(error))
            return
        self._ties.reread()
        await self._standings.change(
            group,
            lambda s: (
                groups.withdrawn(s, self._clock.now(), self._knobs, by_person=False)
                if s.state.is_relayed
                else None
            ),
        )
        if ended is not None:
            log.warning("route.withdrawn", group=group, route=ended.label, via=ended.via, why=why)
            self._record("route.withdrawn", group, f"{ended.label} via {ended.via}: {why}")
        self._tell(group, GroupMood.OPEN)

    async def let_go(self, standing: Standing) -> None:
        """The route of a relayed group is no more: a person ended it, or its time was over."""
        try:
            route = await asyncio.to_thread(self._routes.by_id, standing.route)
        except DatabaseTroubleError as error:
            log.warning("route.unread", group=standing.group, error=str(error))
            return
        if route is not None and route.holds(self._clock.now()):
            return  # what is in memory here is older than the standing
        ended_by = "" if route is None else route.temporary.ended_by
        by_person = ended_by not in {"", BY_POSTERN}

        def gone(now_standing: Standing) -> Standing | None:
            if not now_standing.state.is_relayed or now_standing.route != standing.route:
                return None
            # As of when he ended it: what he says after that is about that.
            ended_at = route.temporary.ended_at if route is not None and by_person else None
            now = self._clock.now() if ended_at is None else ended_at
            return groups.withdrawn(now_standing, now, self._knobs, by_person=by_person)

        changed = await self._standings.change(standing.group, gone)
        if changed is not None:
            who = f"{ended_by} ended the route" if ended_by else "the route's time was over"
            self._record("route.ended", standing.group, who)
            self._tell(standing.group, GroupMood.OPEN)

    async def adopt(self, route: PinnedRoute) -> None:
        """Take up a route that Postern had made before it was killed."""
        try:
            found = await asyncio.to_thread(self._routes.by_id, route.id)
        except DatabaseTroubleError as error:
            log.warning("route.unread", group=route.value, error=str(error))
            return
        if found is None or not found.holds(self._clock.now()):
            return  # ended a moment ago, and its group let go by another worker

        def adopted(standing: Standing) -> Standing | None:
            if standing.state.is_relayed:
                return None
            now = self._clock.now()
            return groups.adopted(standing, route.id, route.via, route.temporary.reason, now)

        if await self._standings.change(route.value, adopted) is not None:
            log.info("route.adopted", group=route.value, route=route.label)
            self._tell(route.value, GroupMood.OPEN)

    def _end(self, key: str) -> PinnedRoute | None:
        """End a route; None where it had ended already."""
        route = self._routes.by_id(key)
        if route is None or not route.holds(self._clock.now()):
            return None
        ended = self._routes.end(route.label)
        return None if isinstance(ended, Refused) else ended

    # --- telling ----------------------------------------------------------------------------------

    def tell_mood(self, standing: Standing) -> None:
        """Let the group's mail go, or hold it back, as it stands."""
        has_way = self._ties.has_way
        is_dead_end = standing.state.is_relayed and not has_way(standing.group, standing.via)
        is_shut = standing.state is GroupState.DEGRADED or is_dead_end
        mood = GroupMood.SHUT if is_shut else GroupMood.OPEN
        if self._moods.get(standing.group, GroupMood.OPEN) is not mood:
            self._tell(standing.group, mood)

    def open(self, group: str) -> None:
        """A person made a way for it: its waiting mail goes now."""
        self._tell(group, GroupMood.OPEN)

    def tell_trial(self, standing: Standing) -> None:
        """Single messages go direct from now on."""
        log.info("route.probing", group=standing.group, via=standing.via)
        text = f"the direct path answered {standing.good_tests} times in a row; messages try it"
        self._record("route.probing", standing.group, text)

    def tell_failed_trial(self, standing: Standing) -> None:
        """A message that went direct was failed by the network."""
        log.warning("route.kept", group=standing.group, via=standing.via)
        every_min = standing.interval_s(self._knobs) / 60
        text = f"a message that went direct was not answered; tested every {every_min:.0f} min now"
        self._record("route.kept", standing.group, text)

    def tell_locked_out(self, relay: str, text: str) -> None:
        """A relay does not take our login, or our mail."""
        self._record("relay.locked-out", relay, text)

    def _tell(self, group: str, mood: GroupMood) -> None:
        if mood is GroupMood.OPEN:
            self._moods.pop(group, None)
        else:
            self._moods[group] = mood
        try:
            self._ties.news.group_changed(group, mood)
        except Exception:
            log.exception("control.news_bug", group=group)

    def _record(self, action: str, subject: str, detail: str) -> None:
        record = ChangeRecord(self._clock.now(), BY_POSTERN, action, subject, detail)
        try:
            self._ties.journal(record)
        except Exception:
            log.exception("control.journal_bug", group=subject)


def hour(moment: Instant) -> str:
    """``09:02 UTC``."""
    return f"{rfc3339(moment)[11:16]} UTC"


def proposal(group: str, relay: str) -> str:
    """The command that a person can paste; strangers' MX records name groups."""
    which = f"--mx-group {quote(group)} --via {quote(relay)}"
    return f'postern route add {which} --for 14d --reason "blocked"'
