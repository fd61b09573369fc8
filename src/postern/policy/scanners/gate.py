"""In front of each scanner: so many at a time, so many that wait, a time limit, and a breaker.

A scanner that is ill delays nobody for long: after a few failures it is left alone, and whoever
needs it is told at once why. It is tried again with a ping first, so that a message waits no longer
for one that hangs than a ping may take.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

import structlog

from postern.policy.scanners.breaker import Breaker, State
from postern.policy.scanners.clamd import Clamd
from postern.policy.scanners.command import Command
from postern.policy.scanners.rspamd import Rspamd
from postern.policy.scanners.scan import (
    Answer,
    Caught,
    Clean,
    ReadContent,
    Scanner,
    Specimen,
    Untold,
)
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.policy.scanners.spamd import Spamd
from postern.policy.scanners.trouble import Troubles
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.scanner")

PING_S = 5.0
LATE = "it did not answer in time"
_RESULTS: dict[type[Answer], str] = {Clean: "clean", Caught: "found", Untold: "couldnt-tell"}


@dataclass(slots=True)
class Counts:
    """What one scanner did since the worker started."""

    scans: Counter[str]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class GateStatus:
    """How one scanner is doing, as this worker sees it."""

    name: str
    state: State
    cause: str
    running: int
    waiting: int
    counts: Counts


def scanner_of(settings: ScannerSettings) -> Scanner:
    """The scanner that the settings describe."""
    if settings.kind is Kind.COMMAND:
        return Command(settings.argv, settings.clean, settings.found, settings.folder)
    place = settings.place
    assert place is not None
    match settings.kind:
        case Kind.CLAMD:
            return Clamd(place)
        case Kind.RSPAMD:
            return Rspamd(place, settings.score)
        case Kind.SPAMD:
            return Spamd(place, settings.score)


class Gate:
    """One scanner and all that wait for it."""

    def __init__(self, settings: ScannerSettings, scanner: Scanner, clock: Clock) -> None:
        self.settings = settings
        self._scanner = scanner
        self._clock = clock
        self._troubles = Troubles(settings, clock)
        self._breaker = Breaker(settings.failures, settings.retry_s)
        self._slots = asyncio.Semaphore(settings.slots)
        self._running = 0
        self._waiting = 0
        self._counts = Counts(Counter())

    @property
    def status(self) -> GateStatus:
        """How it is doing."""
        return GateStatus(
            self.settings.name,
            self._breaker.state,
            self._breaker.cause,
            self._running,
            self._waiting,
            self._counts,
        )

    def take_over(self, before: "Gate") -> None:
        """Go on counting where the scanner of this name was before a reload."""
        self._counts = before._counts  # noqa: SLF001 - of the same class

    async def ask(self, specimen: Specimen, limit_s: float) -> Answer:
        """The scanner's answer to ``specimen``, within ``limit_s`` seconds; never raises."""
        began = self._clock.monotonic()
        turned_away = self._turned_away(specimen)
        answer: Answer = turned_away or await self._pass(
            specimen, min(limit_s, self.settings.timeout_s)
        )
        self._counts.scans[_RESULTS[type(answer)]] += 1
        self._counts.seconds += self._clock.monotonic() - began
        return answer

    def _turned_away(self, specimen: Specimen) -> Untold | None:
        """Why the scanner is not asked at all."""
        settings = self.settings
        size = specimen.content.size_bytes
        if settings.max_bytes and size > settings.max_bytes:
            detail = f"{size} of {settings.max_bytes} bytes"
            return Untold("the message is larger than it is given", detail, is_ailing=False)
        if self._waiting >= settings.queue:
            detail = f"{self._running} scans run and {self._waiting} messages wait"
            return Untold("too many messages wait for it", detail, is_ailing=False)
        now = self._clock.monotonic()
        if self._breaker.may_pass(now):
            return None
        detail = f"{self._breaker.cause}; tried again in {self._breaker.left_s(now):.0f} s"
        return Untold("it does not work at the moment", detail, is_ailing=False)

    async def _pass(self, specimen: Specimen, limit_s: float) -> Answer:
        """Ask it, and let the breaker know how that went, whatever happens."""
        is_probe = self._breaker.is_probing
        answer: Answer | None = None
        try:
            answer = await _ping(self._scanner, self._troubles) if is_probe else None
            if answer is None:
                answer = await self._wait_and_scan(specimen, limit_s)
            return answer
        finally:
            self._learn(answer, is_probe=is_probe)

    async def _wait_and_scan(self, specimen: Specimen, limit_s: float) -> Answer:
        is_in = False
        self._waiting += 1
        limit = asyncio.timeout(limit_s)
        try:
            async with limit, self._slots:
                self._waiting -= 1
                self._running += 1
                is_in = True
                readable = replace(specimen, content=ReadContent(specimen.content))
                return await self._scanner.scan(readable)
        except Exception as error:  # noqa: BLE001 - put into words
            if limit.expired():
                return self._late(limit_s, was_in=is_in)
            return await self._troubles.explain(error)
        finally:
            if is_in:
                self._running -= 1
            else:
                self._waiting -= 1

    def _late(self, limit_s: float, *, was_in: bool) -> Untold:
        what = "nothing" if was_in else "no turn"
        detail = f"{what} in {limit_s:g} s, {self._running} scans run, {self._waiting} wait"
        # Whoever cannot wait for it is no witness of its being ill.
        is_ailing = was_in and limit_s >= self.settings.timeout_s
        return Untold(LATE, detail, is_ailing=is_ailing)

    def _learn(self, answer: Answer | None, *, is_probe: bool) -> None:
        name = self.settings.name
        untold = answer if isinstance(answer, Untold) else None
        is_ailing = untold is not None and untold.is_ailing
        is_late = untold is not None and untold.cause == LATE
        if answer is not None and not is_ailing and not is_late:
            if self._breaker.succeeded():
                log.warning("scanner.up", scanner=name)
            return
        cause = "it was given up" if untold is None else untold.text
        if is_ailing or is_probe:
            now = self._clock.monotonic()
            if self._breaker.failed(cause, now):
                log.error("scanner.down", scanner=name, text=cause)
            elif is_ailing:
                log.warning("scanner.failed", scanner=name, text=cause)


async def ping(settings: ScannerSettings, clock: Clock) -> Untold | None:
    """Whether a scanner is there, within a few seconds; None when it is. Never raises."""
    return await _ping(scanner_of(settings), Troubles(settings, clock))


async def _ping(scanner: Scanner, troubles: Troubles) -> Untold | None:
    limit = asyncio.timeout(PING_S)
    try:
        async with limit:
            return await scanner.ping()
    except Exception as error:  # noqa: BLE001 - put into words
        if limit.expired():
            return Untold(LATE, f"nothing in {PING_S:g} s")
        return await troubles.explain(error)
