"""The doctor asks the scanners, and the workers what they think of them."""

import asyncio
from collections.abc import Iterator, Sequence

from postern.diagnosis.doctor_results import Result, Site, ok, problem, warning
from postern.policy.scanners.clamd import calls_a_part_clean
from postern.policy.scanners.gate import PING_S, ping
from postern.policy.scanners.scan import Untold
from postern.policy.scanners.settings import FOR_EVERYBODY, Kind, ScannerSettings
from postern.runtime.clock import Clock
from postern.runtime.processes import FRESH_S, WorkerStatus, read_statuses


def examine_scanners(site: Site, clock: Clock) -> Iterator[Result]:
    """Each scanner: does it answer, and is it asked."""
    if not site.scanners:
        return
    answers, partial = asyncio.run(_ask_all(site.scanners, clock))
    now = clock.now()
    statuses = [one for one in read_statuses(site.run_dir) if now - one.at <= FRESH_S]
    for settings, answer in zip(site.scanners, answers, strict=True):
        yield judge_scanner(settings, answer, statuses)
        if settings.name in partial:
            yield _silent_about_limits(settings)
        if 0 < settings.max_bytes < site.largest_bytes and settings.family in FOR_EVERYBODY:
            yield _too_small(settings, site.largest_bytes)


async def _ask_all(
    scanners: Sequence[ScannerSettings], clock: Clock
) -> tuple[list[Untold | None], frozenset[str]]:
    """What each says, and the names of those that call clean what they saw in part."""
    answers = await asyncio.gather(*(ping(settings, clock) for settings in scanners))
    there = [one for one, answer in zip(scanners, answers, strict=True) if answer is None]
    partial = await asyncio.gather(*map(_calls_a_part_clean, there))
    return answers, frozenset(one.name for one, is_so in zip(there, partial, strict=True) if is_so)


async def _calls_a_part_clean(settings: ScannerSettings) -> bool:
    if settings.kind is not Kind.CLAMD or settings.place is None:
        return False
    try:
        async with asyncio.timeout(PING_S):
            return await calls_a_part_clean(settings.place)
    except (OSError, EOFError, TimeoutError):
        return False  # whether it works is another question, which the ping answers


def _silent_about_limits(settings: ScannerSettings) -> Result:
    what = f"{settings.name} calls clean what it looked at in part only: archives nested too deep"
    what += " or too large pass as if they were scanned"
    fix = "put `AlertExceedsMax yes` into clamd.conf (and `ScanArchive yes`, where that is off)"
    return warning(f"scanner.{settings.name}.limits", what, f"{fix}, and restart clamd")


def _too_small(settings: ScannerSettings, largest: int) -> Result:
    name = settings.name
    what = f"messages of {settings.max_bytes} to {largest} bytes are not given to {name}, and"
    what += " count as not scanned: refused for now, where nothing else is set"
    fix = f"lower [limits] max_message_bytes, or raise [scanner.{name}] max_bytes"
    if settings.kind is Kind.CLAMD:
        fix += "; clamd.conf's StreamMaxLength, MaxFileSize and MaxScanSize first, or it calls"
        fix += " clean what it did not look at"
    return warning(f"scanner.{name}.size", what, fix)


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
