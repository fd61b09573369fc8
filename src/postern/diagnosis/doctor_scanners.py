"""The doctor asks the scanners, and the workers what they think of them."""

import asyncio
from collections.abc import Iterator, Sequence

from postern.diagnosis.doctor_results import Result, Site, ok, problem
from postern.policy.scanners.gate import ping
from postern.policy.scanners.scan import Untold
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.runtime.clock import Clock
from postern.runtime.processes import FRESH_S, WorkerStatus, read_statuses


def examine_scanners(site: Site, clock: Clock) -> Iterator[Result]:
    """Each scanner: does it answer, and is it asked."""
    if not site.scanners:
        return
    answers = asyncio.run(_ping_all(site.scanners, clock))
    now = clock.now()
    statuses = [one for one in read_statuses(site.run_dir) if now - one.at <= FRESH_S]
    for settings, answer in zip(site.scanners, answers, strict=True):
        yield judge_scanner(settings, answer, statuses)


async def _ping_all(scanners: Sequence[ScannerSettings], clock: Clock) -> list[Untold | None]:
    return await asyncio.gather(*(ping(settings, clock) for settings in scanners))


def judge_scanner(
    settings: ScannerSettings, answer: Untold | None, statuses: Sequence[WorkerStatus]
) -> Result:
    """How one scanner is doing; ``answer`` is to us, now, ``statuses`` are the workers'."""
    check, name = f"scanner.{settings.name}", settings.name
    where = settings.argv[0] if settings.kind is Kind.COMMAND else str(settings.place)
    fix = f"look at {where}; until then mail that needs it waits (docs/checks.md, Scanners)"
    if answer is not None:
        return problem(check, answer.text, fix)
    for status in statuses:
        for scanner in status.scanners:
            if scanner.name == name and scanner.state != "up":
                text = f"worker {status.number} leaves {name} alone: {scanner.cause}"
                return problem(check, text, fix)
    waiting = sum(one.waiting for status in statuses for one in status.scanners if one.name == name)
    there = "is there" if settings.kind is Kind.COMMAND else "answers"
    return ok(check, f"{where} {there}" + (f"; {waiting} messages wait" if waiting else ""))
