"""What one worker does for held mail in the background: its ends, and the letters to its owners."""

import asyncio

import structlog

from postern.app.settings import digest_settings, notice_settings, told_check
from postern.config.settings import Config
from postern.directory.reader import Directory
from postern.journal.search import JournalReader
from postern.queue.digests import Digests
from postern.queue.keeper import HeldCounts, Keeper
from postern.queue.owners import DirectoryOwners
from postern.queue.store.tellings import TellingStore
from postern.queue.tidings import Numbers
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock
from postern.runtime.database.engine import Database
from postern.spool.spool import Spool

log = structlog.get_logger("postern.worker")

ROUND_S = 600.0
"""How often a worker goes round what it holds."""
LETTERS_S = 10.0
"""How often it is looked whether the hour of the letters has come, and whether they arrived."""


class Holding:
    """The keeper of one worker's held mail, and the writer of letters; the first worker writes."""

    def __init__(
        self,
        config: Config,
        database: Database,
        spool: Spool,
        queue: QueueWorker,
        directory: Directory,
        numbers: Numbers,
        clock: Clock,
    ) -> None:
        store = TellingStore(database)
        self._keeper = Keeper(queue, spool, store, told_check(config), clock)
        self._digests = Digests(
            spool,
            config.data_dir / "spool",
            queue,
            store,
            JournalReader(config.data_dir / "journal"),
            DirectoryOwners(directory),
            numbers,
            clock,
            (digest_settings(config), notice_settings(config)),
        )

    @property
    def counts(self) -> HeldCounts:
        """What is held, as of the last round."""
        return self._keeper.counts

    def reload(self, config: Config) -> None:
        """Other hours and owners from now on."""
        self._keeper.is_told = told_check(config)
        self._digests.reload(digest_settings(config), notice_settings(config))

    async def keep_going_round(self) -> None:
        """Go round until cancelled; what goes wrong is tried again at the next round."""
        while True:
            try:
                await self._keeper.go_round()
            except Exception:
                log.exception("worker.held_mail")
            await asyncio.sleep(ROUND_S)

    async def keep_writing(self) -> None:
        """Write the letters of all mailboxes, each day at its hour; for one worker alone."""
        while True:
            try:
                await self._digests.look()
            except Exception:
                log.exception("worker.letters")
            await asyncio.sleep(LETTERS_S)
