"""The resolver: cache first, one query for all who ask the same, home first, then the others."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from postern.mail.dns import Answer, Question, Status
from postern.runtime.clock import Clock
from postern.runtime.resolver.cache import AnswerCache
from postern.runtime.resolver.named import NamedResolver
from postern.runtime.resolver.settings import ResolverLimits, ResolverSettings, system_resolver
from postern.runtime.resolver.wire import Query, query_for

FOREIGN_TYPES = frozenset({"MX", "A", "AAAA", "TXT", "PTR"})
"""What another resolver may be asked. Not TLSA: DANE rests on the AD bit of our own resolver."""
MAX_FAILURE_TTL_S = 300.0
"""RFC 2308 §7.1."""


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
        self._named = tuple(NamedResolver(settings, clock) for settings in chosen)
        self._failure_ttl_s = min(self._limits.failure_ttl_s, MAX_FAILURE_TTL_S)
        entries, size_bytes = self._limits.cache_entries, self._limits.cache_bytes
        # Block lists (home alone) have a cache of their own: a flood of strangers' addresses must
        # not push out the MX records that the queue lives on.
        self._all_cache = AnswerCache(clock, entries, size_bytes)
        self._home_cache = AnswerCache(clock, entries, size_bytes)
        self._flying: dict[tuple[Question, bool], asyncio.Task[Answer]] = {}
        self._slots = asyncio.Semaphore(self._limits.max_queries)

    def cached(self, question: Question, *, foreign_ok: bool = True) -> Answer | None:
        """The answer if it is known without asking anyone, else None. Never blocks."""
        return (self._all_cache if foreign_ok else self._home_cache).get(question)

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        """The answer within ``limit_s``, whatever happens; see ``Lookup.ask``."""
        known = self.cached(question, foreign_ok=foreign_ok)
        if known is not None:
            return known
        key = (question, foreign_ok)
        task = self._flying.get(key)
        if task is None:
            task = asyncio.create_task(self._find(question, foreign_ok=foreign_ok))
            self._flying[key] = task
            task.add_done_callback(lambda _: self._flying.pop(key, None))
        # One who asks and leaves must not take the answer from the others who wait for it.
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """End the queries that are under way; those who wait for them are cancelled."""
        tasks = tuple(self._flying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, question: Question, *, foreign_ok: bool) -> Answer:
        query = query_for(question)
        if isinstance(query, Answer):
            return query
        began = self._clock.monotonic()
        ends_at = asyncio.get_running_loop().time() + self._limits.limit_s
        answer = Answer(question, Status.TIMEOUT, resolver=self._named[0].name)
        try:
            async with asyncio.timeout_at(ends_at), self._slots:
                answer = await self._ask_in_turn(query, ends_at, foreign_ok=foreign_ok)
        except TimeoutError:
            pass  # all slots busy until the end: nothing was learnt
        answer = replace(answer, seconds=self._clock.monotonic() - began)
        keep_s = float(answer.ttl_s) if answer.status.is_known else self._failure_ttl_s
        (self._all_cache if foreign_ok else self._home_cache).put(answer, keep_s)
        return answer

    async def _ask_in_turn(self, query: Query, ends_at: float, *, foreign_ok: bool) -> Answer:
        """Home's answer, or another's where home couldn't tell and another could.

        Each leaves time for one try of each that follows, so that a silent home does not use up
        the whole limit.
        """
        loop = asyncio.get_running_loop()
        abroad = foreign_ok and query.question.type in FOREIGN_TYPES
        named = self._named if abroad else self._named[:1]
        first: Answer | None = None
        for position, resolver in enumerate(named):
            later_s = sum(other.first_try_s for other in named[position + 1 :])
            left_s = ends_at - loop.time()
            answer = await resolver.ask(query, max(left_s - later_s, left_s / 2))
            if answer.status.is_known:
                return answer
            first = first or answer
        assert first is not None
        return first
