"""What a worker does in the background whatever the configuration says."""

import asyncio
from pathlib import Path

import structlog

from postern.directory.trace import TraceCounter
from postern.journal.retention import sweep
from postern.journal.settings import JournalSettings
from postern.runtime.clock import Clock

log = structlog.get_logger("postern.worker")

RESERVE_CHECK_S = 0.2
RETENTION_S = 3600.0


async def keep_reserving(counter: TraceCounter) -> None:
    """Trace numbers are reserved before they run out, so that no client waits for the disk."""
    while True:
        await asyncio.sleep(RESERVE_CHECK_S)
        if counter.runs_low:
            try:
                await asyncio.to_thread(counter.reserve_ahead)
            except Exception:
                log.exception("worker.no_numbers")


async def keep_sweeping(folder: Path, settings: JournalSettings, clock: Clock) -> None:
    """Day files that are too old, or too many, go."""
    while True:
        try:
            await asyncio.to_thread(sweep, folder, clock.now(), settings)
        except Exception:
            log.exception("worker.retention")
        await asyncio.sleep(RETENTION_S)
