"""How much a worker's users may send: the allowance in front of the queue, and who is frozen."""

from postern.app.settings import allowance_settings, notice_settings, relay_accounts
from postern.config.settings import Config
from postern.directory.freezes import Freeze, Frozen
from postern.directory.model import Mailbox
from postern.directory.reader import Directory
from postern.directory.store.freezes import FreezeStore
from postern.mail.address import Address
from postern.policy.allowance import Allowance
from postern.queue.freezing import AUTHOR, Freezer, keep_thawing
from postern.queue.rationed import Knows, Rationed
from postern.queue.store.requests import RequestStore
from postern.queue.tidings import Numbers
from postern.queue.worker import QueueWorker
from postern.runtime.clock import Clock
from postern.runtime.database.engine import Database
from postern.runtime.ratetable import RateTable
from postern.spool.spool import Spool


class Rationing:
    """Of one worker.

    Attributes:
        outgoing: where reception hands mail on.
        frozen: who may send nothing.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        queue: QueueWorker,
        spool: Spool,
        directory: Directory,
        numbers: Numbers,
        knows: Knows,
        rates: RateTable,
        clock: Clock,
    ) -> None:
        self._rates = rates
        self._clock = clock
        self._store = store = FreezeStore(database, clock, AUTHOR)
        self._requests = RequestStore(database)
        self._directory = directory
        self.frozen = Frozen(store.all, clock, self._thawed)
        directory.on_change(self.frozen.forget)
        self._freezer = Freezer(
            store,
            self._requests,
            queue,
            spool,
            directory,
            numbers,
            clock,
            notice_settings(config),
            config.queue.expire_s,
        )
        outside = _Outside(directory)
        self.outgoing = Rationed(
            queue, self._allowance(config), outside, knows, self._freezer.freeze, self._frozen_now
        )

        self.outgoing.unlimited = relay_accounts(config)

    def reload(self, config: Config) -> None:
        """Other limits from now on; what was counted counts."""
        self.outgoing.allowance = self._allowance(config)
        self.outgoing.unlimited = relay_accounts(config)
        self._freezer.settings = notice_settings(config)

    async def keep_thawing(self) -> None:
        """Freezes end by themselves."""
        await keep_thawing(self._store, self._requests, self._clock)

    def _frozen_now(self, account: Address) -> Freeze | None:
        """A message takes its time to come in, and somebody may have frozen its account since."""
        self._directory.refresh()
        return self.frozen.of(account)

    def _thawed(self, account: Address) -> None:
        """It sends as it did before; who freezes it once more must have a new reason."""
        self.outgoing.allowance.forgive(account)

    def _allowance(self, config: Config) -> Allowance:
        return Allowance(allowance_settings(config), self._rates, self._clock)


class _Outside:
    """Who lives here, as far as the allowance asks."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def mailbox_of(self, address: Address) -> Mailbox | None:
        return self._directory.mailbox_of(address)

    def is_ours(self, address: Address) -> bool:
        return self._directory.domain(address.domain) is not None
