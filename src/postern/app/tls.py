"""Keeps a worker in step with what is asked of TLS, and with where TLS does not work."""

import asyncio

import structlog

from postern.app.published import open_shelf
from postern.app.settings import delivery_settings
from postern.app.ways_out import retest_settings, routing_settings
from postern.config.settings import Config
from postern.delivery.probe import WayProbe
from postern.delivery.settings import DeliverySettings
from postern.directory.model import Refused
from postern.directory.reader import Directory
from postern.journal.record import ChangeRecord
from postern.mail.paths import UNWATCHED, Observation, Watches
from postern.mail.route import Way
from postern.routing.settings import RoutingSettings
from postern.routing.tls.demands import Demands
from postern.routing.tls.domains.policy import DomainPolicies, GuardedAddresses
from postern.routing.tls.domains.store import TlsDomainStore
from postern.routing.tls.exemptions.book import ExemptionBook
from postern.routing.tls.exemptions.learner import Lesson, TlsLearner
from postern.routing.tls.exemptions.retest import Retests
from postern.routing.tls.exemptions.store import ExemptionStore
from postern.routing.tls.results import store as results
from postern.routing.tls.results.tally import TlsTally
from postern.routing.tls.results.texts import ShelfTexts
from postern.runtime.clock import Clock, Instant
from postern.runtime.database.beside import FileTrouble
from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.jobs import Job
from postern.spool.spool import Spool

log = structlog.get_logger("postern.worker")

AUTHOR = "postern"
AGAIN_S = 1.0
WRITE_S = 5.0
"""How often it is written down what was counted, and which addresses are guarded."""
LOOK_SHARE = 1 / 48
"""A look at which exemptions are due for a test, as a share of the time between two tests."""
LOOK_MOST_S = 600.0


class _LastSeen:
    """Keeps what a test of one way showed at last. A ``PathListener``."""

    def __init__(self) -> None:
        self.seen: Observation | None = None

    def saw(self, observation: Observation) -> None:
        """Keep it, unless the test goes on."""
        if observation.is_final:
            self.seen = observation


class TlsProbe:
    """Tests as delivery makes them.

    The board is not told: it tests what it knows to be bad itself, and knows its group.
    """

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def probe(self, way: Way) -> Observation | None:
        """What a test of this way shows at last."""
        last = _LastSeen()
        probe = WayProbe(self._settings, self._clock, Watches(UNWATCHED, last))
        try:
            await probe.probe(way)
        finally:
            await probe.close()
        return last.seen


class TlsKnowledge:
    """What one worker knows of TLS elsewhere; it outlives reloads.

    Attributes:
        shelf: what domains published.
        domains: what we ask for domains ourselves.
        learner: learns where TLS does not work.
        tally: counts how sessions' TLS went.
    """

    def __init__(
        self, config: Config, database: Database, directory: Directory, spool: Spool, clock: Clock
    ) -> None:
        self._config = config
        self._spool = spool
        self._clock = clock
        self._store = ExemptionStore(database, clock, AUTHOR)
        self._domain_store = TlsDomainStore(database, clock, AUTHOR)
        self._book = ExemptionBook(clock)
        self.domains = DomainPolicies()
        self._guarded = GuardedAddresses(clock)
        self._lesson_learnt = asyncio.Event()
        self._is_waiting = False
        self.shelf = open_shelf(config, clock)
        self.tally = TlsTally(clock, ShelfTexts(self.shelf))
        self.learner = TlsLearner(self._book, self._lesson_learnt.set)
        directory.on_change(self.refresh)
        self.refresh()

    def reload(self, config: Config) -> None:
        """From now on this configuration counts."""
        self._config = config

    def demands(self, routing: RoutingSettings) -> Demands:
        """What one way must have, with these egresses."""
        enforcing = frozenset(one.name for one in routing.egresses if one.enforces_tls)
        return Demands(self._book, self.domains, self._guarded, enforcing)

    def refresh(self) -> None:
        """Read all anew; what the database does not tell now is asked again in a moment."""
        if self._is_waiting:
            return
        try:
            exemptions, domains = self._store.all(), self._domain_store.all()
        except DatabaseTroubleError as error:
            log.warning("worker.tls", text=str(error))
            self._is_waiting = True
            asyncio.get_running_loop().call_later(AGAIN_S, self._again)
            return
        self._book.fill(exemptions)
        self.domains.fill(domains)

    def take_uses(self) -> dict[str, tuple[int, Instant]]:
        """How often exemptions were of use since the last call."""
        return self._book.take_uses()

    def jobs(self) -> dict[str, Job]:
        """What goes on in the background in every worker."""
        return {
            "TLS lessons": self.keep_learning,
            "TLS demands": self.keep_noting,
            "TLS results": self.keep_counting,
        }

    async def keep_learning(self) -> None:
        """Write down at once what attempts taught, so that the next message need not wait."""
        while True:
            await self._lesson_learnt.wait()
            self._lesson_learnt.clear()
            for lesson in self.learner.take():
                if self._config.tls_exemptions.learn:
                    await self._learn(lesson)

    async def keep_counting(self) -> None:
        """Add what was counted of sessions to what all workers counted."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write_counts()

    async def write_counts(self) -> None:
        """What cannot be written is only not counted."""
        counted = self.tally.take()
        if counted:
            path = self._config.data_dir / results.FILE_NAME
            try:
                await asyncio.to_thread(results.add, path, counted, self._clock.now())
            except (FileTrouble, OSError) as error:
                log.warning("worker.tls_results", text=str(error))

    async def keep_noting(self) -> None:
        """Write down which addresses serve a domain that asks for TLS."""
        while True:
            await asyncio.sleep(WRITE_S)
            guarded = self._guarded.take()
            if guarded:
                try:
                    await asyncio.to_thread(self._domain_store.note, guarded)
                except DatabaseTroubleError as error:
                    log.warning("worker.tls_guarded", text=str(error))

    async def close(self) -> None:
        """Write down what was counted, and close the files."""
        await self.write_counts()
        await asyncio.to_thread(self.shelf.close)

    async def keep_testing(self) -> None:
        """Try TLS again at exempted addresses."""
        while True:
            probe = TlsProbe(delivery_settings(self._config), self._clock)
            retest_s = self._config.tls_exemptions.retest_s
            await asyncio.sleep(min(retest_s * LOOK_SHARE, LOOK_MOST_S))
            retests = Retests(
                self._store,
                probe,
                routing_settings(self._config, {}),
                self._changed,
                retest_settings(self._config),
                self._clock,
            )
            try:
                await retests.test_due()
            except DatabaseTroubleError as error:
                log.warning("worker.tls_tests", text=str(error))

    async def _learn(self, lesson: Lesson) -> None:
        lasts_s = self._config.tls_exemptions.lasts_s
        try:
            made = await asyncio.to_thread(self._store.learn, lesson.place, lesson.reason, lasts_s)
        except DatabaseTroubleError as error:
            log.warning("worker.tls_not_learned", ip=lesson.place.ip, text=str(error))
            return
        if isinstance(made, Refused):
            log.warning("worker.tls_not_learned", ip=lesson.place.ip, text=made.text)
            return
        exemption, is_new = made
        if is_new:
            self._changed(
                "tls.exempted", exemption.ip, f"{exemption.label}: {exemption.temporary.reason}"
            )
        self.refresh()

    def _changed(self, action: str, ip: str, text: str) -> None:
        log.info(action, ip=ip, text=text)
        self._spool.changed(ChangeRecord(self._clock.now(), AUTHOR, action, ip, text))
        self.refresh()

    def _again(self) -> None:
        self._is_waiting = False
        self.refresh()
