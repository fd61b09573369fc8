"""Whether a sender's domain lets a relay send for it: SPF, asked ahead and remembered.

Mail that leaves through a relay comes from the relay's address. Where no signature of it is aligned
with its author, SPF is all that speaks for it, so it is only given to a relay inside the sender's
record. What is not known yet is "not now", and the next try knows it; only an attempt that has
nothing else to hope for waits a moment (``wait``). What was known is kept for a day while DNS does
not answer: the night that a country's line is cut is the night its resolver is cut off as well.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from postern.mail.dns import Inquiry
from postern.mail.spf.evaluate import check_host
from postern.mail.spf.result import SpfCode
from postern.routing.relays import Relay, Relays
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import Lookup

log = structlog.get_logger("postern.routing")

MAX_KEPT = 20_000
MAX_ASKING = 20
MAX_WAITED_FOR = 40
"""More of them that somebody waits for: after a start all our own domains are asked about."""
LIMIT_S = 20.0
"""RFC 7208 §4.6.4: 20 s at the least for all look-ups of one check."""
MIN_TTL_S = 60.0
MAX_TTL_S = 3600.0
KEEP_S = 10.0
MAX_OWN = 2_000
"""Domains of ours that are asked about ahead."""
UNTOLD_S = 30.0
"""How long "couldn't tell" is not asked again."""
STALE_S = 86_400.0
"""How long what was known counts while DNS does not answer."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """Whether a domain lets a relay send for it; None: couldn't tell.

    ``until``: it is asked again. ``told_at``: when DNS said so last.
    """

    covers: bool | None
    until: float
    told_at: float = 0.0


class Mandates:
    """Remembers which domains let which relays send for them. For one event loop.

    Args:
        lookup: the resolver.
        clock: for what is kept.
        hostname: our name, for the macro ``%{r}``.
        told: called with a relay's name once it is known that it may have more mail.
    """

    def __init__(
        self,
        lookup: Lookup,
        clock: Clock,
        hostname: str,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._hostname = hostname
        self._told = told
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._began: dict[tuple[str, str], float] = {}

    def inherit(self, before: "Mandates", relays: frozenset[str]) -> None:
        """Know what was known before a reload, of relays that are set as they were."""
        self._known.update(before.known_of(relays))

    def known_of(self, relays: frozenset[str]) -> dict[tuple[str, str], Known]:
        """What is known of these relays: by domain and relay."""
        return {key: one for key, one in self._known.items() if key[1] in relays}

    def covers(self, domain: str, relay: Relay, *, ask: bool = True) -> bool:
        """Whether all addresses of ``relay`` may send for ``domain``, as far as is known now.

        What is not known is False; with ``ask`` it is asked for in the background.
        """
        key = (domain, relay.name)
        known = self._known.get(key)
        if ask and (known is None or self._clock.monotonic() >= known.until):
            self._begin(key, relay)
        return known is not None and known.covers is True

    def is_known(self, domain: str, relay: Relay) -> bool:
        """Whether DNS has told, be it long ago; or could not tell, a moment ago."""
        known = self._known.get((domain, relay.name))
        if known is None:
            return False
        return known.covers is not None or self._clock.monotonic() < known.until

    async def wait(self, domain: str, relays: Sequence[Relay], limit_s: float) -> None:
        """Ask, and wait for the answers no longer than ``limit_s`` from when it was asked first.

        So many messages of one domain wait no longer than one.
        """
        keys = [(domain, relay.name) for relay in relays]
        for key, relay in zip(keys, relays, strict=True):
            self._begin(key, relay, MAX_ASKING + MAX_WAITED_FOR)
        asking = [key for key in keys if key in self._asking]
        if not asking:
            return
        began = min(self._began[key] for key in asking)
        left_s = limit_s - (self._clock.monotonic() - began)
        if left_s > 0:
            await asyncio.wait([self._asking[key] for key in asking], timeout=left_s)

    async def look_up(self, domain: str, relay: Relay) -> bool | None:
        """The same, asked now; None: couldn't tell."""
        ips = relay.public_ips
        if not ips:
            return None
        taking = _Taking(self._lookup)
        told: list[bool | None] = []
        for ip in ips:
            inquiry = check_host(
                ip, domain, f"postmaster@{domain}", relay.settings.helo or self._hostname,
                receiver=self._hostname, now=self._clock.now(),
            )  # fmt: skip
            try:
                async with asyncio.timeout(LIMIT_S):
                    result = await taking.conduct(inquiry)
            except TimeoutError:
                told.append(None)
                continue
            passes = result.code is SpfCode.PASS
            told.append(None if not passes and result.unanswered else passes)
        covers = False if False in told else None if None in told else True
        ttl_s = UNTOLD_S if covers is None else min(max(taking.ttl_s, MIN_TTL_S), MAX_TTL_S)
        before, now = self._known.get((domain, relay.name)), self._clock.monotonic()
        kept = Known(covers, now + ttl_s, now)
        if covers is None and before is not None and now - before.told_at < STALE_S:
            kept = replace(before, until=now + ttl_s)
        self._known[domain, relay.name] = kept
        if covers and self._told is not None and (before is None or not before.covers):
            self._told(relay.name)
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        return covers

    async def keep_asking(self, domains: Callable[[int], list[str]], relays: Relays) -> None:
        """Know it of our own domains before any of their mail needs it; until cancelled.

        Args:
            domains: at most so many of them; called on a thread.
            relays: which.
        """
        while True:
            for domain in await asyncio.to_thread(domains, MAX_OWN) if len(relays) else ():
                for relay in relays:
                    if relay.targets:
                        self.covers(domain, relay)
                    while len(self._asking) >= MAX_ASKING:
                        await asyncio.wait(
                            self._asking.values(), return_when=asyncio.FIRST_COMPLETED
                        )
            await asyncio.sleep(KEEP_S)

    async def close(self) -> None:
        """Ask no more."""
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def settle(self) -> None:
        """Wait for what is being asked."""
        while self._asking:
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _begin(self, key: tuple[str, str], relay: Relay, most: int = MAX_ASKING) -> None:
        if key in self._asking or len(self._asking) >= most:
            return
        task = asyncio.get_running_loop().create_task(self._ask(key, relay))
        self._asking[key] = task
        self._began[key] = self._clock.monotonic()
        task.add_done_callback(lambda _: self._over(key))

    def _over(self, key: tuple[str, str]) -> None:
        self._asking.pop(key, None)
        self._began.pop(key, None)

    async def _ask(self, key: tuple[str, str], relay: Relay) -> None:
        try:
            await self.look_up(key[0], relay)
        except Exception:
            log.exception("relay.mandate_bug", domain=key[0], relay=key[1])
            now = self._clock.monotonic()
            self._known[key] = Known(None, now + UNTOLD_S, now)


class _Taking:
    """Runs inquiries with real answers, and remembers how long the shortest of them holds."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.ttl_s = MAX_TTL_S

    async def conduct(self, inquiry: Inquiry[T]) -> T:
        """Run an inquiry to its end."""
        try:
            questions = next(inquiry)
            while True:
                asked = (self._lookup.ask(question) for question in questions)
                answers = tuple(await asyncio.gather(*asked))
                for answer in answers:
                    if answer.status.is_known:
                        self.ttl_s = min(self.ttl_s, float(answer.ttl_s))
                questions = inquiry.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result
