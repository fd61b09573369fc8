"""All checks of one conversation, each run as soon as what it looks at is known.

Reception begins one ``Examination`` a connection and tells it what the client shows. Whoever must
answer asks for ``known``: it waits for what runs, each check no longer than its own limit, and
gives what was found in the order of the conversation: the same mail always has the same cause.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import structlog

from postern.mail.address import Address
from postern.mail.authres.results import MethodResult
from postern.mail.dmarc.alignment import Identifier
from postern.mail.finding import Finding, Result, Whose
from postern.policy.checks.check import Found, Seen
from postern.runtime.clock import Clock
from postern.runtime.eager import begin

log = structlog.get_logger("postern.policy")

DEFAULT_LIMIT_S = 10.0


class Stage(IntEnum):
    """What must be known before a check can begin."""

    CONNECT = 0
    HELO = 1
    MAIL = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One check as it is run: its family, when it can begin, and how long it may take.

    ``at_once``: it waits for DNS alone, and is begun without a task (``postern.runtime.eager``).
    """

    family: str
    stage: Stage
    run: Callable[[Seen], Coroutine[Any, Any, Found]]
    limit_s: float = DEFAULT_LIMIT_S
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What all checks together found, in the order of the conversation."""

    findings: tuple[Finding, ...] = ()
    ptr: str = ""
    proven: frozenset[str] = frozenset()
    identifiers: tuple[Identifier, ...] = ()
    results: tuple[MethodResult, ...] = ()
    sealer: str = ""
    waits: frozenset[str] = frozenset()

    def and_then(self, found: Found) -> "Known":
        """With what one check more has found."""
        return Known(
            self.findings + found.findings,
            self.ptr or found.ptr,
            self.proven | found.proven,
            self.identifiers + found.identifiers,
            self.results + found.results,
            self.sealer or found.sealer,
            self.waits | found.waits,
        )


class Examination:
    """The checks of one connection. ``end`` it when the connection is gone."""

    def __init__(self, checks: tuple[Check, ...], seen: Seen, clock: Clock) -> None:
        self._checks = checks
        self._seen = seen
        self._clock = clock
        self._running: dict[Check, asyncio.Future[Found]] = {}
        self._is_over = False
        self._begin(Stage.CONNECT)

    def hello(self, helo: str) -> None:
        """The client said who it is; what was found after it last said so is forgotten."""
        self._drop(Stage.HELO)
        self._seen = replace(self._seen, helo=helo, mail_from=None)
        self._begin(Stage.HELO)

    def mail(self, sender: Address | None) -> None:
        """A transaction begins; None is the null sender. The last one's sender is forgotten."""
        self._drop(Stage.MAIL)
        self._seen = replace(self._seen, mail_from=sender, at=self._clock.now())
        self._begin(Stage.MAIL)

    @property
    def is_done(self) -> bool:
        """True when ``known`` would not have to wait."""
        return all(task.done() for task in self._running.values())

    async def known(self, without: frozenset[str] = frozenset()) -> Known:
        """Wait for the checks that run, and give what is known after them.

        ``without``: families that nobody waits for; what they found until now counts.

        Raises:
            RuntimeError: the examination was ended: what nobody found is not "nothing found".
        """
        # What begins while we wait is waited for too.
        while waiting := [
            task
            for check, task in self._running.items()
            if not task.done() and check.family not in without
        ]:
            await asyncio.wait(waiting)
        if self._is_over:
            raise RuntimeError("the examination is over")
        known = Known()
        for check in sorted(self._running, key=lambda check: check.stage):
            task = self._running[check]
            if task.done():
                known = known.and_then(task.result())
        return known

    def end(self) -> None:
        """Nobody will ask any more: what still runs is given up."""
        self._is_over = True
        self._drop(Stage.CONNECT)

    def _begin(self, stage: Stage) -> None:
        if self._is_over:
            return
        for check in self._checks:
            if check.stage is stage:
                work = self._run(check, self._seen)
                self._running[check] = begin(work) if check.at_once else asyncio.ensure_future(work)

    def _drop(self, stage: Stage) -> None:
        for check in [check for check in self._running if check.stage >= stage]:
            self._running.pop(check).cancel()

    async def _run(self, check: Check, seen: Seen) -> Found:
        work = check.run(seen)
        return await run_within(
            check.family, check.limit_s, self._clock, work, at_once=check.at_once
        )


async def run_within(
    family: str,
    limit_s: float,
    clock: Clock,
    work: Coroutine[Any, Any, Found],
    *,
    at_once: bool = False,
) -> Found:
    """A check's findings with the seconds it took; whatever goes wrong is "couldn't tell"."""
    began = clock.monotonic()
    try:
        found = await _try(family, limit_s, work, at_once=at_once)
    except Exception as error:
        log.exception("policy.check_bug", check=family)
        found = _untold(family, f"an error of our own: {type(error).__name__}", Whose.US)
    return found.taking(clock.monotonic() - began)


async def _try(
    family: str, limit_s: float, run: Coroutine[Any, Any, Found], *, at_once: bool
) -> Found:
    """What the check found within its limit."""
    work = begin(run) if at_once else asyncio.ensure_future(run)
    try:
        if not work.done():
            await asyncio.wait([work], timeout=limit_s)
        if not work.done():
            return _untold(family, f"the check took longer than {limit_s:g} s", Whose.BETWEEN)
        if work.cancelled():  # what it waited for was given up under it, at a reload or a stop
            return _untold(family, "the check was given up", Whose.US)
        return work.result()
    finally:
        work.cancel()


def _untold(family: str, text: str, whose: Whose) -> Found:
    name = f"{family}.couldnt-tell"
    return Found((Finding(name, Result.COULDNT_TELL, text, whose),))
