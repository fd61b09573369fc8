"""Policies of MTA-STS: which one counts for a domain now (RFC 8461 §5).

A policy counts until it ends by itself, whatever DNS or its server say or keep to themselves
meanwhile; only a newer policy replaces it. Without one on file, "couldn't fetch" is as if there
were none, and is noted. Mail waits some seconds for a first policy and never longer: the fetch goes
on, and the next look has what came of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from postern.mail.dns import Question, Status
from postern.mail.sts import BadPolicy, StsMode, StsPolicy, parse_policy, policy_id
from postern.mail.tlsrpt import TlsResult
from postern.routing.tls.shelf import Shelf
from postern.routing.tls.store import StoredPolicy
from postern.routing.tls.sts_fetch import NotAsked, NotFetched
from postern.runtime.clock import Clock
from postern.runtime.resolver.lookup import ForgetfulLookup

log = structlog.get_logger("postern.routing")

T = TypeVar("T")

WAIT_S = 5.0
"""How long mail waits for DNS and a policy's server, together."""
AGAIN_S = 300.0
"""How long what was found is not looked for again, at least (RFC 8461 §3.3)."""
MEANWHILE_S = 10.0
"""The same while a fetch is still under way."""
UNTOLD_S = 60.0
"""The same where DNS did not tell."""
MIN_AGE_S = 300
"""A policy that ends sooner is kept for so long, or each message would fetch it."""
CHECK_S = 60.0
"""How often it is looked which policies are due to be fetched anew."""
BATCH = 100
"""Found at once: what has become due and ends sooner need not wait for many slow ones."""
REFRESH_AT_ONCE = 16
MAX_FAILED = 20_000
"""Domains of which it is known what failed, and which are to be asked anew."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a domain's policy is now, good for ``ttl_s``.

    ``policy``: None: none that asks for anything. ``fault``: why there may be one that we do not
    have, in the words of reports; empty: no such thing.
    """

    policy: StsPolicy | None = None
    fault: str = ""
    ttl_s: float = AGAIN_S


class Fetcher(Protocol):
    """Brings policies."""

    @property
    def asking(self) -> Container[str]:
        """The domains whose servers are being asked, and do not only wait for their turn."""
        ...

    async def fetch(self, domain: str) -> bytes | NotFetched | NotAsked:
        """The body as served, or why there is none; within a time of its own."""
        ...


@dataclass(frozen=True, slots=True)
class _Failed:
    """A policy of this id could not be had, until the monotonic second ``until``."""

    id: str
    result: TlsResult
    until: float


class StsPolicies:
    """Knows the policies. Belongs to one event loop.

    Args:
        lookup: for the records that tell of policies.
        fetcher: brings them.
        shelf: where they are kept.
        clock: for their ends.
        wait_s: how long one who asks waits at most.
    """

    def __init__(
        self,
        lookup: ForgetfulLookup,
        fetcher: Fetcher,
        shelf: Shelf,
        clock: Clock,
        wait_s: float = WAIT_S,
    ) -> None:
        self._lookup = lookup
        self._fetcher = fetcher
        self._shelf = shelf
        self._clock = clock
        self._wait_s = wait_s
        self._flying: dict[tuple[str, bool], asyncio.Task[Published]] = {}
        self._failed: OrderedDict[str, _Failed] = OrderedDict()
        self._doubted: OrderedDict[str, None] = OrderedDict()
        self._asked_anew: OrderedDict[str, float] = OrderedDict()

    async def of(self, domain: str) -> Published:
        """The policy for mail to ``domain``, within some seconds; those who ask at once share."""
        return await self._shared(domain, anew=domain in self._doubted and self._may_ask(domain))

    async def renewed(self, domain: str) -> Published:
        """The same, before mail fails by it: record and policy are asked for anew.

        At most once in five minutes (RFC 8461 §3.3, §5.1).
        """
        return await self._shared(domain, anew=self._may_ask(domain))

    def doubt(self, domain: str) -> None:
        """Mail failed by its policy: the next look asks for a newer one (RFC 8461 §5.1)."""
        _remember(self._doubted, domain, None)

    async def refresh(self) -> None:
        """Fetch policies anew before they end, for as long as mail goes by them: all that are due.

        What is over by now is dropped after one more try, not before it.
        """
        seen: set[str] = set()
        not_asked: set[str] = set()
        while True:
            due = await self._shelf.due(BATCH + len(not_asked))
            domains = [domain for domain in due if domain not in seen]
            if not domains:
                break
            seen.update(domains)
            waiting = iter(domains)
            await asyncio.gather(
                *(self._refresh(waiting, not_asked) for _ in range(REFRESH_AT_ONCE))
            )
        self._shelf.prune()

    async def aclose(self) -> None:
        """Cut what is under way."""
        tasks = tuple(self._flying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shared(self, domain: str, *, anew: bool) -> Published:
        task = self._flying.get((domain, anew))
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(domain, anew=anew))
            self._flying[domain, anew] = task
            task.add_done_callback(lambda _: self._flying.pop((domain, anew), None))
        await asyncio.wait((task,), timeout=self._wait_s)
        if task.done() and not task.cancelled():
            return task.result()
        is_late = domain in self._fetcher.asking
        fault = TlsResult.STS_POLICY_FETCH_ERROR.value if is_late else ""
        return self._published(self._shelf.policy(domain), fault, MEANWHILE_S)

    def _may_ask(self, domain: str) -> bool:
        """Whether it may be asked anew now; it is noted that it was."""
        now = self._clock.monotonic()
        if now - self._asked_anew.get(domain, -AGAIN_S) < AGAIN_S:
            return False
        _remember(self._asked_anew, domain, now)
        self._doubted.pop(domain, None)
        return True

    async def _refresh(self, waiting: Iterator[str], not_asked: set[str]) -> None:
        """Those that are left, until none is."""
        for domain in waiting:
            # Its id may have changed as well, or be gone: then the policy is left to its end.
            answer = await self._lookup.ask(_question(domain))
            found = policy_id(answer.records) if answer.status is Status.OK else None
            fetched = None if found is None else await self._fetch(domain, found)
            if isinstance(fetched, NotAsked):
                not_asked.add(domain)  # and is still due
            elif not isinstance(fetched, StoredPolicy):
                self._shelf.tried(domain)

    async def _find(self, domain: str, *, anew: bool) -> Published:
        if anew:
            self._lookup.forget(_question(domain))
        answer = await self._lookup.ask(_question(domain))
        stored = self._shelf.policy(domain)
        ttl_s = max(float(answer.ttl_s), AGAIN_S) if answer.status.is_known else UNTOLD_S
        found = policy_id(answer.records) if answer.status is Status.OK else None
        if found is None or (stored is not None and self._is_good(stored, found, anew=anew)):
            return self._published(stored, "", ttl_s)
        failed = self._failed.get(domain)
        if failed is not None and failed.id == found and self._clock.monotonic() < failed.until:
            return self._published(stored, failed.result.value, AGAIN_S)
        fetched = await self._fetch(domain, found)
        if isinstance(fetched, NotAsked):
            return self._published(stored, "", MEANWHILE_S)
        if isinstance(fetched, TlsResult):
            return self._published(stored, fetched.value, AGAIN_S)
        return self._published(fetched, "", ttl_s)

    def _is_good(self, stored: StoredPolicy, found: str, *, anew: bool) -> bool:
        """Whether that is the policy told of; asked for anew, it must be new (another worker's)."""
        is_new = self._clock.now() - stored.fetched < AGAIN_S
        return stored.id == found and (is_new or not anew)

    async def _fetch(self, domain: str, id_: str) -> StoredPolicy | TlsResult | NotAsked:
        """Fetch, and keep what came; else note that it did not."""
        body = await self._fetcher.fetch(domain)
        if isinstance(body, NotAsked):
            log.warning("routing.sts_not_asked", domain=domain)
            return body
        if isinstance(body, NotFetched):
            return self._note(domain, id_, body.result, body.text)
        policy = parse_policy(body)
        if isinstance(policy, BadPolicy):
            return self._note(domain, id_, TlsResult.STS_POLICY_INVALID, policy.text)
        now = self._clock.now()
        stored = StoredPolicy(domain, id_, body, now, now + max(policy.max_age_s, MIN_AGE_S))
        self._shelf.put(stored)
        self._failed.pop(domain, None)
        _remember(self._asked_anew, domain, self._clock.monotonic())
        log.info("routing.sts_policy", domain=domain, mode=policy.mode.value)
        return stored

    def _note(self, domain: str, id_: str, result: TlsResult, text: str) -> TlsResult:
        log.warning("routing.sts_no_policy", domain=domain, text=text)
        until = self._clock.monotonic() + AGAIN_S
        _remember(self._failed, domain, _Failed(id_, result, until))
        return result

    def _published(self, stored: StoredPolicy | None, fault: str, ttl_s: float) -> Published:
        if stored is None:
            return Published(None, fault, ttl_s)
        policy = parse_policy(stored.body)
        if isinstance(policy, BadPolicy) or policy.mode is StsMode.NONE:
            return Published(None, fault, ttl_s)
        self._shelf.used(stored.domain)
        left_s = stored.expires - self._clock.now()
        return Published(policy, fault, max(1.0, min(ttl_s, left_s)))


async def keep_fresh(current: Callable[[], StsPolicies]) -> None:
    """Refresh each minute, whichever policies are ``current`` after a reload; never returns."""
    while True:
        try:
            await current().refresh()
        except Exception:
            log.exception("routing.sts_refresh")
        await asyncio.sleep(CHECK_S)


def _question(domain: str) -> Question:
    return Question(f"_mta-sts.{domain}", "TXT")


def _remember(of: OrderedDict[str, T], domain: str, value: T) -> None:
    """Strangers decide how many domains there are: those noted longest ago go first."""
    of[domain] = value
    of.move_to_end(domain)
    if len(of) > MAX_FAILED:
        of.popitem(last=False)
