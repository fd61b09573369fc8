"""The resolver: cache first, one query for all who ask the same, home first, then the others."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace

from postern.mail.dns import Answer, Question, Status
from postern.runtime.clock import Clock, Instant
from postern.runtime.resolver.cache import AnswerCache
from postern.runtime.resolver.forward import ForwardZones
from postern.runtime.resolver.health import PROBE
from postern.runtime.resolver.named import NamedResolver
from postern.runtime.resolver.second import weigh
from postern.runtime.resolver.settings import ResolverLimits, ResolverSettings, system_resolver
from postern.runtime.resolver.wire import Query, query_for

FOREIGN_TYPES = frozenset({"MX", "A", "AAAA", "TXT", "PTR"})
"""What another resolver may be asked. Not TLSA: DANE rests on the AD bit of our own resolver."""
MAX_FAILURE_TTL_S = 300.0
"""RFC 2308 §7.1."""
STOPGAP_S = 30
"""How long another's answer is kept, at most, where the one asked first couldn't tell or denied it.

Nobody vouches for it by DNSSEC, and what rests on that (DANE) must not be gone for a day because
home was away for a minute.
"""
CONFIRM_S = 5.0
"""How long another resolver may take to confirm."""

_Flight = tuple[Question, bool, int]


class Resolver:
    """A ``Lookup`` over real servers. It belongs to one event loop, and starting it asks nobody.

    Args:
        resolvers: the first is home, the others are asked when home couldn't tell. None at all:
            the system's ``/etc/resolv.conf``; and where that names nobody, every answer is at once
            a server failure.
    """

    def __init__(
        self,
        resolvers: Sequence[ResolverSettings],
        clock: Clock,
        limits: ResolverLimits | None = None,
    ) -> None:
        self._clock = clock
        self._limits = limits or ResolverLimits()
        chosen = resolvers or (system_resolver(),)
        self._named = tuple(
            NamedResolver(settings, clock, is_trusted=settings.is_trusted and number == 0)
            for number, settings in enumerate(chosen)
        )
        self._failure_ttl_s = min(self._limits.failure_ttl_s, MAX_FAILURE_TTL_S)
        entries, size_bytes = self._limits.cache_entries, self._limits.cache_bytes
        # Block lists (home alone) have a cache of their own: a flood of strangers' addresses must
        # not push out the MX records that the queue lives on.
        self._all_cache = AnswerCache(clock, entries, size_bytes)
        self._home_cache = AnswerCache(clock, entries, size_bytes)
        self._doubts = AnswerCache(clock, entries, size_bytes)  # what could not be confirmed
        self._flying: dict[_Flight, asyncio.Task[Answer]] = {}
        self._confirming: dict[_Flight, asyncio.Task[Answer]] = {}
        self._slots = asyncio.Semaphore(self._limits.max_queries)
        self._forwards = ForwardZones()
        self._forward_uses: dict[str, tuple[int, Instant]] = {}
        self._generation = 0

    @property
    def home(self) -> str:
        """Name of the resolver that is asked first."""
        return self._named[0].name

    def forward(self, zones: ForwardZones) -> bool:
        """Look up names in ``zones`` through theirs first; forget what was known of any changed.

        Returns:
            False when nothing changed.
        """
        changed = zones.differing(self._forwards)
        if not changed:
            return False
        self._forwards = zones
        self._generation += 1  # what is under way was asked in the old way
        for cache in (self._all_cache, self._doubts):
            cache.forget_below(changed)
        return True

    def take_forward_uses(self) -> Mapping[str, tuple[int, Instant]]:
        """By the id of a forward zone, how often names in it were asked for since the last call."""
        uses, self._forward_uses = self._forward_uses, {}
        return uses

    def cached(self, question: Question, *, foreign_ok: bool = True) -> Answer | None:
        """The answer if it is known without asking anyone, else None. Never blocks."""
        return (self._all_cache if foreign_ok else self._home_cache).get(question)

    def forget(self, question: Question) -> None:
        """See ``ForgetfulLookup.forget``."""
        for cache in (self._all_cache, self._home_cache, self._doubts):
            cache.forget(question)

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        """The answer within ``limit_s``, whatever happens; see ``Lookup.ask``."""
        known = self.cached(question, foreign_ok=foreign_ok)
        if known is not None:
            return known
        key = (question, foreign_ok, self._generation)
        return await self._shared(
            self._flying, key, lambda: self._find(question, foreign_ok=foreign_ok)
        )

    async def confirm(self, answer: Answer) -> Answer:
        """See ``Lookup.confirm``; within some seconds, whatever happens."""
        question = answer.question
        if not answer.is_negative or answer.confirmed_by or question.type not in FOREIGN_TYPES:
            return answer
        if len(self._named) == 1 or isinstance(query := query_for(question), Answer):
            return answer
        doubt = self._doubts.get(question)
        if doubt is not None:
            return doubt
        key = (question, True, self._generation)
        return await self._shared(self._confirming, key, lambda: self._confirm(answer, query))

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Let the queries that are under way end within ``grace_s``, then cut them.

        Those who wait for one that is cut are answered with a server failure. Who goes on asking,
        on a connection from before a reload, is answered as ever.
        """
        tasks = (*self._flying.values(), *self._confirming.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _find(self, question: Question, *, foreign_ok: bool) -> Answer:
        query = query_for(question)
        if isinstance(query, Answer):
            return query
        generation = self._generation
        began = self._clock.monotonic()
        ends_at = asyncio.get_running_loop().time() + self._limits.limit_s
        answer = Answer(question, Status.TIMEOUT, resolver=self.home)
        try:
            async with asyncio.timeout_at(ends_at), self._slots:
                answer = await self._ask_in_turn(query, ends_at, foreign_ok=foreign_ok)
        except TimeoutError:
            pass  # all slots busy until the end: nothing was learnt
        answer = replace(answer, seconds=self._clock.monotonic() - began)
        if generation == self._generation:
            keep_s = float(answer.ttl_s) if answer.status.is_known else self._failure_ttl_s
            (self._all_cache if foreign_ok else self._home_cache).put(answer, keep_s)
        return answer

    async def _ask_in_turn(self, query: Query, ends_at: float, *, foreign_ok: bool) -> Answer:
        """Home's answer, or another's where home couldn't tell and another could.

        Each is asked one round, and those that were silent the rest of theirs once all were asked:
        who knows must not wait until home has been silent twice. Each leaves time for one try of
        each that follows, so that a silent home does not use up the whole limit.
        """
        loop = asyncio.get_running_loop()
        order = self._order(query.question, foreign_ok=foreign_ok)
        if len(order) == 1:
            return await order[0].ask(query, ends_at - loop.time())
        first: dict[str, Answer] = {}
        for position, resolver in enumerate(order):
            later_s = sum(other.first_try_s for other in order[position + 1 :])
            left_s = ends_at - loop.time()
            answer = await resolver.ask(query, max(left_s - later_s, left_s / 2), last=1)
            if answer.status.is_known:
                return answer if position == 0 else _stopgap(answer)
            first[resolver.name] = answer
        for resolver in order:
            left_s = ends_at - loop.time()
            if left_s <= 0 or first[resolver.name].status is not Status.TIMEOUT:
                continue
            answer = await resolver.ask(query, left_s, first=1)
            if answer.status.is_known:
                return answer if resolver is order[0] else _stopgap(answer)
        return first[order[0].name]

    def _order(self, question: Question, *, foreign_ok: bool) -> Sequence[NamedResolver]:
        """Who is asked, one after the other."""
        if not foreign_ok or question.type not in FOREIGN_TYPES:
            return self._named[:1]
        now = self._clock.now()
        forward = self._forwards.of(question.name, now)
        if forward is None:
            return self._named
        ahead = [one for one in self._named if one.name == forward.via]
        if ahead:
            hits, _ = self._forward_uses.get(forward.id, (0, now))
            self._forward_uses[forward.id] = (hits + 1, now)
        return (*ahead, *(one for one in self._named if one.name != forward.via))

    async def _confirm(self, answer: Answer, query: Query) -> Answer:
        generation = self._generation
        doubt: Answer | None = None
        for other in self._named:
            if other.name == answer.resolver or await self._is_dead(other):
                continue
            second = await self._ask_second(other, query)
            if second.status.is_known:
                stands = weigh(answer, second)
                if stands.denied_by:
                    stands = _stopgap(stands)
                if generation == self._generation:
                    self._all_cache.put(stands, float(stands.ttl_s))
                return stands
            if doubt is None:
                doubt = weigh(answer, second)
        if doubt is None:
            return answer
        if generation == self._generation:
            self._doubts.put(doubt, self._failure_ttl_s)
        return doubt

    async def _is_dead(self, other: NamedResolver) -> bool:
        """Whether it is out of order; where that seems so, it is asked what everybody knows."""
        if other.health.begin_probe() and not isinstance(query := query_for(PROBE), Answer):
            await self._ask_second(other, query)
        return other.health.is_dead

    async def _ask_second(self, other: NamedResolver, query: Query) -> Answer:
        began = self._clock.monotonic()
        second = Answer(query.question, Status.TIMEOUT, resolver=other.name)
        try:
            async with asyncio.timeout(CONFIRM_S), self._slots:
                second = await other.ask(query, CONFIRM_S)
        except TimeoutError:
            pass  # all slots busy until the end: nothing was learnt
        return replace(second, seconds=self._clock.monotonic() - began)

    async def _shared(
        self,
        flying: dict[_Flight, asyncio.Task[Answer]],
        key: _Flight,
        find: Callable[[], Coroutine[None, None, Answer]],
    ) -> Answer:
        """What ``find`` comes to, once for all who ask the same at the same time."""
        task = flying.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(find())
            flying[key] = task
            task.add_done_callback(lambda _: flying.pop(key, None))
        # Not awaited itself: one who asks and leaves must not take the answer from the others, and
        # a query that is cut (``aclose``) must not look as if whoever waits had been cancelled.
        await asyncio.wait((task,))
        if task.cancelled():
            return Answer(key[0], Status.SERVER_FAILURE, resolver=self.home)
        return task.result()


def _stopgap(answer: Answer) -> Answer:
    """What another says for as long as the one asked first does not."""
    return replace(answer, ttl_s=min(answer.ttl_s, STOPGAP_S))
