"""Whom our users write to: what one worker learns of it is written down each second."""

import asyncio
from pathlib import Path

import structlog

from postern.directory.correspondents import Notebook
from postern.directory.store.correspondents import CorrespondentStore
from postern.runtime.clock import Clock
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.worker")

WRITE_S = 1.0
TROUBLE_S = 60.0
"""Until the next try, when the file could not be written."""
SWEEP_S = 3600.0


class Acquaintances:
    """The notebook of one worker, and the file that all workers share.

    A file that is damaged stops no worker: what would be refused is "not now" until it is mended.
    """

    def __init__(self, data_dir: Path, clock: Clock, *, sweeps: bool) -> None:
        self.notebook = Notebook()
        self.store = CorrespondentStore.open(data_dir)
        self._clock = clock
        self._sweeps = sweeps
        self._is_prepared = False
        try:
            self._prepare()
        except DatabaseTroubleError as error:
            log.error("worker.correspondents", text=str(error))  # noqa: TRY400 - the text is the cause

    async def keep_writing(self) -> None:
        """Write each second what is new, and forget once an hour what is old, until cancelled."""
        swept_at = 0.0
        pause_s = WRITE_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = WRITE_S if await self._write() else TROUBLE_S
            if self._sweeps and self._clock.monotonic() - swept_at > SWEEP_S:
                swept_at = self._clock.monotonic()
                await self._sweep()

    async def close(self) -> None:
        """Write what is left, and close the file."""
        await self._write()
        self.store.close()

    def _prepare(self) -> None:
        if not self._is_prepared:
            self.store.prepare()
            self._is_prepared = True

    async def _write(self) -> bool:
        """Write what is new; False when it could not be written, and is kept for the next time."""
        notes = self.notebook.take()
        if not notes and self._is_prepared:
            return True
        try:
            await asyncio.to_thread(self._prepare)
            await asyncio.to_thread(self.store.write, notes)
        except Exception:
            log.exception("worker.correspondents")
            self.notebook.put_back(notes)
            return False
        return True

    async def _sweep(self) -> None:
        try:
            await asyncio.to_thread(self.store.sweep, self._clock.now())
        except Exception:
            log.exception("worker.correspondents")
