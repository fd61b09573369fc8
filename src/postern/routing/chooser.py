"""The ways of one attempt: chosen when it begins, by what is known of the paths at that moment.

First the route that somebody pinned, or that Postern engaged; then the direct addresses in MX
order, those that are blocked or lost a race behind the others; then, for failures of the network
alone, the other source addresses; and at the end the relays that this message may take.

What a server says never leads to another egress: Postern passes round a blocked path, and does not
dodge its reputation.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from postern.journal.record import AttemptRecord
from postern.mail.envelope import TlsWish
from postern.mail.hops import has_passed
from postern.mail.paths import Path
from postern.mail.route import RELAY_GROUP, Egress, SmtpRoute, Target, TlsDemand, TlsPolicy, Way
from postern.routing.mandates import Mandates
from postern.routing.paths.board import Board
from postern.routing.relays import Relay, Relays
from postern.routing.routes.route import PinnedRoute, Policy
from postern.routing.routes.table import RouteTable
from postern.routing.settings import RoutingSettings

MAX_CACHED = 4_096
MAX_DIRECT = 12
"""Direct addresses of one attempt: the ways behind them must have their turn as well."""
MAX_OTHER_SOURCE = 3
"""Addresses tried from each other source address."""
PATIENCE_S = 1.0
"""So long an attempt waits until it is known which relays may carry the message."""
TROUBLE_S = 3.0
"""The same where all that is left are addresses that do not answer, or a relay is engaged."""
_WEAK = frozenset({TlsPolicy.NEVER, TlsPolicy.OPPORTUNISTIC})


class MailClass(Enum):
    """Whose mail it is, as other servers see it: each may leave through an egress of its own."""

    USER = "user"  # our own users'
    FORWARDED = "forwarded"  # from outside, to an address outside
    BOUNCE = "bounces"  # from Postern itself, or with the null sender


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What of a message matters for the ways it may take.

    ``sender_domain``: of the envelope; empty: the null sender. ``aligned``: a DKIM signature in it
    is aligned with its author, so that it passes DMARC whichever server hands it on. ``hops``:
    relays of ours that it has been through already. ``via``: the egress that a person asked for.
    """

    mail_class: MailClass = MailClass.USER
    sender_domain: str = ""
    aligned: bool = False
    tls_wish: TlsWish = TlsWish.NONE
    hops: tuple[str, ...] = ()
    via: str = ""


class Fits(Protocol):
    """What TLS an address, a domain and a message ask for together."""

    def fit(self, way: Way, facts: MessageFacts, domain: str = "") -> Way | None:
        """The way with that TLS; None: it can't carry this message."""
        ...


class Steering(Protocol):
    """What the path controller tells of a group, and wants to hear."""

    def may_relay(self, group: str) -> bool:
        """Whether a relay may be taken without a person's word: none has just withdrawn one."""
        ...

    def takes_canary(self, group: str) -> bool:
        """Whether this attempt is the one that tries the direct path of a relayed group."""
        ...

    def ended(self, group: str, attempts: Sequence[AttemptRecord]) -> None:
        """How an attempt went for the ways that were taken."""
        ...


@dataclass(slots=True)
class _Kept:
    route: SmtpRoute
    ways: tuple[Way, ...]


class Chooser:
    """Chooses ways. For one event loop; never blocks.

    Args:
        settings: the egresses.
        board: how the paths do.
        table: routes that were pinned, and what may be done without asking.
        relays: where relays are.
        mandates: which sender's domain lets which relay send for it.
        steering: the path controller.
        refresh: reads what people changed since; called for every attempt.
        fits: what TLS is asked for; None: what the route says.
    """

    def __init__(
        self,
        settings: RoutingSettings,
        board: Board,
        table: RouteTable,
        relays: Relays,
        mandates: Mandates,
        steering: Steering,
        refresh: Callable[[], object],
        fits: Fits | None = None,
    ) -> None:
        self._settings = settings
        self._board = board
        self._table = table
        self._relays = relays
        self._mandates = mandates
        self._steering = steering
        self._refresh = refresh
        self._fits = fits
        self._sources = tuple(one.as_egress() for one in settings.direct_egresses)
        self._kept: dict[tuple[int, str, tuple[str, ...]], _Kept] = {}
        self._versions = (-1, -1, -1)

    def ways(self, route: SmtpRoute, facts: MessageFacts) -> tuple[Way, ...]:
        """The ways to try, best first; none where none may carry the message. Never blocks."""
        self._refresh()
        if not self._is_outside(route) or facts.via:
            # A customer's own server, an address literal, a relay that takes everything, or what a
            # person asked for: no other egress has business with it.
            return self._fitting(self._by_health(route, route.egress), facts, route)
        pin = self._table.of(route.group, route.domain)
        if pin is not None and pin.is_automatic and self._steering.takes_canary(route.group):
            return self._fitting(self._canary(route, facts, pin), facts, route)
        may = self._may_carry(route, facts, pin)
        if pin is not None:
            self._table.used(pin)
        elif may and not self._may_fall_back(route.group):
            may = ()
        return self._fitting(self._known(route, pin, may), facts, route)

    def is_unsure(self, route: SmtpRoute, facts: MessageFacts) -> bool:
        """Whether it is not known yet which relays may carry a message: see ``make_sure``."""
        if not len(self._relays) or not self._is_outside(route) or facts.via:
            return False
        return self._relays.is_asking or bool(self._unknown(route, facts))

    async def make_sure(self, route: SmtpRoute, facts: MessageFacts) -> None:
        """Wait a moment for that: the first message after a start may need the relay as well.

        Once for each sender's domain; what DNS does not tell in time is not waited for again.
        """
        limit_s = TROUBLE_S if self._is_in_trouble(route) else PATIENCE_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._relays.wait_asked()
                unknown = self._unknown(route, facts)
                if unknown:
                    await self._mandates.wait(facts.sender_domain, unknown, limit_s)

    def ended(self, route: SmtpRoute, attempts: Sequence[AttemptRecord]) -> None:
        """Tell the controller how an attempt went."""
        if route.domain:
            self._steering.ended(route.group, attempts)

    # --- which relays a message may take ----------------------------------------------------------

    def _may_carry(
        self, route: SmtpRoute, facts: MessageFacts, pin: PinnedRoute | None
    ) -> tuple[str, ...]:
        """Names of relays that this message may take, in their order."""
        if not len(self._relays):
            return ()
        by_person = pin.via if pin is not None and not pin.is_automatic else ""
        return tuple(
            relay.name
            for relay in self._relays
            if relay.targets and self._carries(relay, route, facts, by_person)
        )

    def _carries(self, relay: Relay, route: SmtpRoute, facts: MessageFacts, by_person: str) -> bool:
        if facts.hops and has_passed(relay.name, facts.hops):
            return False
        if relay.name == route.egress.name:
            return False
        if _needs_tls(route, facts) and not relay.settings.enforces_tls:
            return False
        if relay.name == by_person or facts.aligned or not facts.sender_domain:
            return True
        # Our own users' domains are few. A stranger's is asked about only where it may matter soon.
        ask = facts.mail_class is MailClass.USER or bool(self._board.of_group(route.group))
        return self._mandates.covers(facts.sender_domain, relay, ask=ask)

    def _unknown(self, route: SmtpRoute, facts: MessageFacts) -> list[Relay]:
        """The relays of which the sender's domain has not told yet whether they may send for it."""
        domain = facts.sender_domain
        if facts.aligned or not domain:
            return []
        known = self._mandates.is_known
        unknown = [one for one in self._relays if one.targets and not known(domain, one)]
        if not unknown:
            return []
        pin = self._table.of(route.group, route.domain)
        if pin is None:
            is_ours = facts.mail_class is MailClass.USER
            is_free = self._table.policy_of(route.group) is Policy.AUTOMATIC
            return unknown if is_free and (is_ours or self._is_in_trouble(route)) else []
        # What a person routes takes his relay, whatever SPF says.
        return unknown if pin.is_automatic else [one for one in unknown if one.name != pin.via]

    def _is_in_trouble(self, route: SmtpRoute) -> bool:
        """Whether a relay takes the group's mail, or nothing else is left to hope for."""
        if self._table.of(route.group, route.domain) is not None:
            return True
        return all(
            self._board.is_last(_path(Way(route.egress, target))) for target in route.targets
        )

    @staticmethod
    def _is_outside(route: SmtpRoute) -> bool:
        """Whether it leads to strangers, past any relay that takes all mail."""
        return bool(route.domain) and not route.group.startswith(RELAY_GROUP)

    def _may_fall_back(self, group: str) -> bool:
        """Whether a relay may be taken that nobody engaged."""
        return self._table.policy_of(group) is Policy.AUTOMATIC and self._steering.may_relay(group)

    # --- in which order ---------------------------------------------------------------------------

    def _known(
        self, route: SmtpRoute, pin: PinnedRoute | None, may: tuple[str, ...]
    ) -> tuple[Way, ...]:
        """The ways as they were for this route a moment ago, while nothing has changed."""
        versions = (self._board.version, self._table.version, self._relays.version)
        if versions != self._versions or len(self._kept) > MAX_CACHED:
            self._kept.clear()
            self._versions = versions
        key = (id(route), "" if pin is None else pin.id, may)
        kept = self._kept.get(key)
        if kept is None or kept.route is not route:
            kept = self._kept[key] = _Kept(route, self._ordered(route, pin, may))
        return kept.ways

    def _ordered(
        self, route: SmtpRoute, pin: PinnedRoute | None, may: tuple[str, ...]
    ) -> tuple[Way, ...]:
        direct = self._by_health(route, route.egress)
        if pin is None:
            return (*direct, *self._other_sources(route, direct), *self._fallbacks(route, may))
        reason = _reason(pin)
        relay = self._relays[pin.via]
        if relay is None:
            return (*self._pinned_source(route, pin.via, reason), *direct)
        through = self._through(relay, reason) if relay.name in may else ()
        if through and self._is_well(relay):
            # What the relay cannot take, or does not, falls back again.
            return (*through, *direct)
        sources = () if through else self._other_sources(route, direct)
        stand_in = self._stand_in(pin, may, reason)
        return (*stand_in, *direct, *sources, *map(_as_fallback, through))

    def _stand_in(self, pin: PinnedRoute, may: tuple[str, ...], reason: str) -> tuple[Way, ...]:
        """Another relay, where that which Postern engaged is not well or may not have it."""
        if not pin.is_automatic or self._table.policy_of(pin.value) is not Policy.AUTOMATIC:
            return ()
        for relay in self._relays:
            if relay.name != pin.via and relay.name in may and self._is_well(relay):
                return self._through(relay, f"{relay.name} stands in for {pin.via}: {reason}")
        return ()

    def _canary(self, route: SmtpRoute, facts: MessageFacts, pin: PinnedRoute) -> tuple[Way, ...]:
        """The direct path first, to see; the relay as soon as the network fails it."""
        words = f"to see whether {route.group} answers again (route {pin.label})"
        direct = tuple(replace(way, reason=words) for way in self._by_health(route, route.egress))
        relay, may, reason = self._relays[pin.via], self._may_carry(route, facts, pin), _reason(pin)
        behind = self._through(relay, reason) if relay and pin.via in may else ()
        if not relay or not behind or not self._is_well(relay):
            behind = (*self._stand_in(pin, may, reason), *behind)
        return (*direct, *map(_as_fallback, behind))

    def _by_health(self, route: SmtpRoute, egress: Egress) -> tuple[Way, ...]:
        """Every target through ``egress`` in MX order, those that are not well at the end."""
        ways = tuple(Way(egress, target, group=route.group) for target in route.targets)
        if not self._board.version:
            return ways[:MAX_DIRECT]  # nothing bad was ever known of any path
        last = [way for way in ways if self._board.is_last(_path(way))]
        if not last:
            return ways[:MAX_DIRECT]
        well = [way for way in ways if way not in last]
        return (*well, *last)[:MAX_DIRECT]

    def _other_sources(self, route: SmtpRoute, direct: Sequence[Way]) -> Iterable[Way]:
        """The same addresses from other addresses of ours."""
        for egress in self._sources:
            if egress.name in self._settings.reserved:
                continue  # what others complain of has an address of its own
            if egress.name == route.egress.name or egress.source_ip == route.egress.source_ip:
                continue
            fits = [way for way in direct if _is_reachable(way.target, egress)]
            for way in fits[:MAX_OTHER_SOURCE]:
                reason = f"nothing answered through {route.egress.name}"
                yield Way(egress, way.target, group=route.group, reason=reason)

    def _pinned_source(self, route: SmtpRoute, via: str, reason: str) -> Iterable[Way]:
        """Straight to the mail hosts, from another address of ours."""
        found = self._settings.egress(via)
        if found is None or found.relay is not None:
            return
        egress = found.as_egress()
        for way in self._by_health(route, egress):
            if _is_reachable(way.target, egress):
                yield replace(way, reason=reason)

    def _fallbacks(self, route: SmtpRoute, may: tuple[str, ...]) -> Iterable[Way]:
        """Relays for when nothing answers directly, those that are well first."""
        relays = [relay for relay in self._relays if relay.name in may]
        relays.sort(key=lambda relay: not self._is_well(relay))
        reason = "no direct address answered"
        return (_as_fallback(way) for relay in relays for way in self._through(relay, reason))

    def _through(self, relay: Relay, reason: str) -> tuple[Way, ...]:
        """The relay's addresses, those that are well first."""
        group = RELAY_GROUP + relay.name
        ways = (Way(relay.egress, target, group=group, reason=reason) for target in relay.targets)
        return tuple(sorted(ways, key=lambda way: self._board.is_last(_path(way))))

    def _is_well(self, relay: Relay) -> bool:
        return not all(self._board.is_last(path) for path in relay.paths())

    def _fitting(
        self, ways: Sequence[Way], facts: MessageFacts, route: SmtpRoute
    ) -> tuple[Way, ...]:
        """Each with the TLS that is asked for; those that cannot have it are left out."""
        if any(way.is_relay for way in ways) and _needs_tls(route, facts) and route.domain:
            ways = [_verified(way) if way.is_relay else way for way in ways]
        if self._fits is None:
            return tuple(ways)
        found = (self._fits.fit(way, facts, route.domain) for way in ways)
        fitting = tuple(way for way in found if way is not None)
        if any(way.target.tls.policy is TlsPolicy.NEVER for way in fitting):
            return self._clear_behind(fitting)
        return fitting

    def _clear_behind(self, ways: tuple[Way, ...]) -> tuple[Way, ...]:
        """An address exempted from TLS behind those where TLS may work, before those that fail."""
        direct = [way for way in ways if not way.is_relay and not way.is_fallback]
        direct.sort(key=self._rank)
        turns = iter(direct)
        return tuple(way if way.is_relay or way.is_fallback else next(turns) for way in ways)

    def _rank(self, way: Way) -> int:
        if self._board.is_last(_path(way)):
            return 2
        return 1 if way.target.tls.policy is TlsPolicy.NEVER else 0


def _path(way: Way) -> Path:
    target = way.target
    is_encrypted = target.tls.policy is not TlsPolicy.NEVER
    return Path(way.egress.name, target.ip, target.port, is_encrypted)


def _as_fallback(way: Way) -> Way:
    return replace(way, is_fallback=True)


def _is_reachable(target: Target, egress: Egress) -> bool:
    """Whether the source address is of the target's family."""
    return egress.source_ip is None or (":" in egress.source_ip) == (":" in target.ip)


def _needs_tls(route: SmtpRoute, facts: MessageFacts) -> bool:
    """Whether the domain or the message asks for more than opportunistic TLS, to the end."""
    if facts.tls_wish in {TlsWish.ENCRYPT, TlsWish.REQUIRETLS}:
        return True
    return any(target.tls.policy not in _WEAK for target in route.targets)


def _verified(way: Way) -> Way:
    """Mail that is protected to the end is so on the way to the relay as well."""
    if way.target.tls.policy is TlsPolicy.VERIFY:
        return way
    demand = TlsDemand(TlsPolicy.VERIFY, source="message")
    return replace(way, target=replace(way.target, tls=demand))


def _reason(pin: PinnedRoute) -> str:
    """Why mail goes that way, for ``why``."""
    if pin.is_automatic:
        return f"relayed: {pin.temporary.reason}, route {pin.label}"
    return f"route {pin.label}: {pin.temporary.reason}"
