"""From deliveries to pieces of work: where each goes, and which go together."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from postern.mail.address import Address
from postern.mail.envelope import TlsWish
from postern.mail.route import LmtpRoute, NoRoute, Route, SmtpRoute
from postern.queue.facts import class_of
from postern.queue.group import Work
from postern.queue.retry import is_greylisted
from postern.queue.settle import bug_outcome
from postern.routing.chooser import MailClass
from postern.spool.message import Delivery, Message

log = structlog.get_logger("postern.queue")

TOGETHER_S = 1.0
"""How long recipients wait for each other's route, to share a transaction."""
NO_EGRESSES: Mapping[MailClass, str] = {}
SORT_S = 5.0
"""How long DNS may take to say which groups a message's deliveries are to wait in."""

Routed = tuple[Delivery, Route]


class Router(Protocol):
    """Says where a recipient's mail goes."""

    def cached_route(self, address: Address, via: str | None = None) -> Route | None:
        """The route when it is known without asking anyone."""
        ...

    async def route(self, address: Address, via: str | None = None) -> Route:
        """The route, after asking."""
        ...


class Ways:
    """Asks the router, and puts together what goes the same way."""

    def __init__(
        self,
        router: Router,
        recipients_per_transaction: int,
        egresses: Mapping[MailClass, str] = NO_EGRESSES,
    ) -> None:
        """``egresses``: the way out of mail of some classes; of all other mail the usual one."""
        self._router = router
        self._most = recipients_per_transaction
        self._egresses = egresses

    def known(self, message: Message, deliveries: Sequence[Delivery]) -> list[Work] | None:
        """The work, when every route is known without asking anyone; else None."""
        routed: list[Routed] = []
        for delivery in deliveries:
            route = None if greylisted_at(delivery) else self._cached(message, delivery)
            if route is None:
                return None
            routed.append((delivery, route))
        return self._gather(message, routed)

    async def find(
        self, message: Message, deliveries: Sequence[Delivery], ready: Callable[[Work], None]
    ) -> None:
        """Ask for every route and call ``ready`` with the work, each delivery in one.

        A domain whose DNS is slow keeps the others waiting for a second at most.
        """
        by_domain = _by_domain(deliveries)
        asked = {
            asyncio.ensure_future(self._ask(message, some)): some for some in by_domain.values()
        }
        asking = set(asked)
        timeout_s: float | None = TOGETHER_S
        until = asyncio.ALL_COMPLETED
        try:
            while asking:
                done, asking = await asyncio.wait(asking, timeout=timeout_s, return_when=until)
                timeout_s, until = None, asyncio.FIRST_COMPLETED
                routed = [pair for task in done for pair in _routed(message, task, asked[task])]
                for work in self._gather(message, routed):
                    ready(work)
        finally:
            for task in asking:
                task.cancel()

    async def groups_of(self, message: Message, deliveries: Sequence[Delivery]) -> list[str]:
        """The group each delivery is to wait in; its domain's name while DNS does not answer.

        One deadline of ``SORT_S`` holds for all of them, however many domains are silent.
        """
        if not deliveries:
            return []
        by_domain = _by_domain(deliveries)
        asking = {
            asyncio.ensure_future(self._ask(message, some)): some for some in by_domain.values()
        }
        found: dict[int, str] = {}
        try:
            done, _ = await asyncio.wait(asking, timeout=SORT_S)
            for task in done:
                if not task.cancelled():  # given up under us: as if DNS did not answer
                    found |= {delivery.n: route.group for delivery, route in task.result()}
        finally:
            for task in asking:
                task.cancel()
        return [found.get(d.n, d.recipient.address.domain) or "?" for d in deliveries]

    def group_if_known(self, message: Message, delivery: Delivery) -> str | None:
        """The group a delivery goes to, when that is known without asking anyone; else None."""
        route = self._cached(message, delivery)
        return None if route is None else route.group

    def _cached(self, message: Message, delivery: Delivery) -> Route | None:
        if delivery.via:
            return None
        return self._router.cached_route(delivery.recipient.address, self._via(message, delivery))

    def _via(self, message: Message, delivery: Delivery) -> str | None:
        """The egress that a person pinned, or that of the mail's class; None: the usual one."""
        if delivery.via or not self._egresses:
            return delivery.via or None
        return self._egresses.get(class_of(message, delivery))

    async def _ask(self, message: Message, deliveries: Iterable[Delivery]) -> list[Routed]:
        """Routes of one domain's recipients: the first is asked for, the others are then known."""
        return [(delivery, await self._route(message, delivery)) for delivery in deliveries]

    async def _route(self, message: Message, delivery: Delivery) -> Route:
        try:
            address = delivery.recipient.address
            route = self._cached(message, delivery)
            route = route or await self._router.route(address, self._via(message, delivery))
            waits_at = greylisted_at(delivery)
            if waits_at and isinstance(route, SmtpRoute) and route.egress.name != waits_at:
                pinned = await self._router.route(address, waits_at)
                if isinstance(pinned, SmtpRoute):  # else that egress is not configured any more
                    route = pinned
        except Exception:
            log.exception("queue.route_bug", trace=message.trace)
            return _no_route(delivery)
        else:
            return route

    def _gather(self, message: Message, routed: Iterable[Routed]) -> list[Work]:
        """One piece of work for recipients that one transaction with one host can serve."""
        works: list[Work] = []
        together: dict[object, Work] = {}
        for delivery, route in routed:
            key = _key(route, delivery, message)
            found = together.get(key) if key is not None else None
            if found is not None and len(found.deliveries) < self._most:
                found.deliveries.append(delivery)
                continue
            work = Work(message, [delivery], route)
            works.append(work)
            if key is not None:
                together[key] = work
        return works


def _routed(
    message: Message, task: "asyncio.Future[list[Routed]]", deliveries: Iterable[Delivery]
) -> list[Routed]:
    """What was found; where the asking was given up under us, "not now" for each of them."""
    if not task.cancelled():
        return task.result()
    log.error("queue.route_given_up", trace=message.trace)
    return [(delivery, _no_route(delivery)) for delivery in deliveries]


def _no_route(delivery: Delivery) -> NoRoute:
    """An error of our own: it is tried again."""
    return NoRoute(delivery.group or "?", bug_outcome())


def _by_domain(deliveries: Iterable[Delivery]) -> dict[tuple[str, str], list[Delivery]]:
    """The deliveries whose routes one question to the DNS can tell."""
    found: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in deliveries:
        found.setdefault((delivery.recipient.address.domain, delivery.via), []).append(delivery)
    return found


def greylisted_at(delivery: Delivery) -> str:
    """The egress that was told to come back later, and must be the one that does; or nothing."""
    if delivery.via or not delivery.attempts or not is_greylisted(delivery):
        return ""
    return delivery.attempts[-1].egress


def _key(route: Route, delivery: Delivery, message: Message) -> object:
    """Equal for routes that may share a transaction; None where none is shared.

    A group's name is not enough: all tenants of a provider share it, each with hosts of its own.
    Nor are the hosts: a domain may have a route of its own, and what a sender asks of TLS may hold
    for one domain of a host and not for another.
    """
    if isinstance(route, SmtpRoute):
        is_apart = route.is_apart or message.tls_wish is not TlsWish.NONE
        hosts = frozenset(route.targets)
        marks = (
            delivery.is_junk,
            delivery.released,
            delivery.forwarder and delivery.original,
            delivery.via,
        )
        return (route.group, route.egress.name, hosts, marks, route.domain if is_apart else "")
    if isinstance(route, LmtpRoute):
        return (route.group, route.endpoint, delivery.is_junk, delivery.released)
    return None
