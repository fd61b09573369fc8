"""One worker process: its rooms, put together, and its life from ready to stop."""

import asyncio
import contextlib
import gc
import signal
from dataclasses import replace

import structlog
import uvloop

from postern.app.acquaintances import Acquaintances
from postern.app.forwarding import Forwarding
from postern.app.holding import Holding
from postern.app.housekeeping import keep_reserving, keep_sweeping
from postern.app.judging import Judging
from postern.app.outward import Outward, outward, real_ports
from postern.app.rationing import Rationing
from postern.app.settings import (
    certificate_files,
    hold_settings,
    journal_settings,
    listener_settings,
    policy_settings,
    reception_settings,
    spool_settings,
)
from postern.app.status import StatusWriter
from postern.app.steering import Steering
from postern.app.tls import TlsKnowledge
from postern.config.fixed import keep_fixed
from postern.config.load import load
from postern.config.problems import ConfigError
from postern.config.settings import Config
from postern.directory.credentials import Authenticator
from postern.directory.publication import Publication
from postern.directory.reader import Directory
from postern.directory.return_addresses import ReturnAddresses
from postern.directory.signers import Signers
from postern.directory.store.dkim import DkimStore
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.directory.trace import TraceCounter
from postern.journal.store.writer import JournalWriter
from postern.mail.tracecode import TraceCodes
from postern.policy.greylist.keeper import GreylistKeeper
from postern.policy.policy import Memory
from postern.policy.rules.store import Books, RuleStore
from postern.policy.scanners.command import sweep as sweep_copies
from postern.policy.scanners.gate import GateStatus
from postern.policy.untold.patience import open_patience
from postern.policy.uses import Uses
from postern.queue.commands import Commands
from postern.queue.contacts import SentMail
from postern.queue.suggestions import Suggestions
from postern.queue.worker import QueueWorker
from postern.reception.codes import Numbers
from postern.reception.reception import Reception
from postern.reception.services import Services
from postern.reception.tls import BadCertificateError, CertificateFilesWatch, Certificates
from postern.routing.tls.sts import keep_fresh
from postern.routing.zones.store import ForwardZoneStore
from postern.runtime.clock import SystemClock
from postern.runtime.database.watch import ChangeWatch
from postern.runtime.jobs import Job, Jobs
from postern.runtime.processes import WorkerSetup
from postern.spool.spool import Spool

log = structlog.get_logger("postern.worker")

CERTIFICATE_CHECK_S = 60.0
BLOCKLIST_CHECK_S = 60.0
DKIM_KEYS_S = 30.0
USES_S = 300.0
"""How often rules' uses are written down: each time all workers read their rules anew."""
OLD_WAYS_S = 3600.0
"""How long deliveries that a reload found under way may take to end as they began."""
END_S = 1.0
EX_CONFIG = 78


def run_worker(config: Config, setup: WorkerSetup) -> int:
    """Receive and deliver mail until SIGTERM; returns the exit code."""
    _spare_the_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Worker(config, setup).live())


def _spare_the_collector() -> None:
    """Look for garbage circles seldom: our own objects make none, and mail that waits is large.

    At the default thresholds a worker under load spent a tenth of its time walking through it.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Worker:
    """The rooms of one worker."""

    def __init__(self, config: Config, setup: WorkerSetup) -> None:
        self._config = config
        self._setup = setup
        self._clock = SystemClock()
        self._stop = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._jobs = Jobs()
        self._leaving: set[asyncio.Task[None]] = set()
        self._certificate_files = CertificateFilesWatch(certificate_files(config))
        data_dir = config.data_dir
        self._site = SiteStore.open(data_dir, self._clock, f"worker-{setup.number}")
        self._watch = ChangeWatch(data_dir / FILE_NAME)
        self._directory = Directory(self._site.database, self._watch)
        self._counter = TraceCounter(self._site.reserve_counters)
        self._numbers = Numbers(config.node, self._counter, TraceCodes(self._site.trace_key()))
        self._journal_settings = journal_settings(config, setup.of)
        journal = JournalWriter(
            data_dir / "journal", setup.number, self._clock, self._journal_settings
        )
        self._spool = Spool(
            spool_settings(config, setup.of), setup.number, setup.of, journal, self._clock
        )
        self._authenticator = Authenticator(self._directory, self._clock)
        self._acquaintances = Acquaintances(data_dir, self._clock, sweeps=setup.number == 0)
        self._signers = Signers(self._site.database)
        self._returns = ReturnAddresses(self._site.srs_key(), self._clock)
        self._directory.on_change(self._signers.forget)
        self._sent = SentMail(self._directory, self._acquaintances.notebook)
        self._tls = TlsKnowledge(
            config, self._site.database, self._directory, self._spool, self._clock
        )
        self._steering = Steering(data_dir, self._site, self._directory, self._spool, self._clock)
        self._outward = out = self._outward_of(config)
        zones = ForwardZoneStore(self._site.database, self._clock, f"worker-{setup.number}")
        self._forwarding = Forwarding(zones, out)
        self._directory.on_change(self._forwarding.refresh)
        self._greylist = GreylistKeeper(data_dir, self._clock)
        self._memory = Memory(
            Books(self._site.database, self._clock),
            Uses(),
            self._acquaintances.store.knows,
            open_patience(data_dir / "untold.db"),
            self._greylist,
            setup.rates,
        )
        self._directory.on_change(self._memory.books.forget)
        self._rules = RuleStore(self._site.database, self._clock, f"worker-{setup.number}")
        sweep_copies(config.run_dir / f"scan-{setup.number}")
        self._judging = self._judging_of(config, out)
        self._judging.begin()
        self._directory.answer_for_host(out.is_this_host)
        self._queue = QueueWorker(
            self._spool, out.router, out.courier, out.tidings, out.queue_settings, self._clock,
            self._sent,
        )  # fmt: skip
        self._commands = Commands(
            self._site.database, ChangeWatch(data_dir / FILE_NAME), setup.number, self._queue,
            self._spool, self._clock,
        )  # fmt: skip
        self._directory.on_change(self._commands.suspending.refresh)
        self._holding = Holding(
            config, self._site.database, self._spool, self._queue, self._directory,
            self._numbers, self._clock,
        )  # fmt: skip
        self._rationing = Rationing(
            config,
            self._site.database,
            self._queue,
            self._spool,
            self._directory,
            self._numbers,
            self._acquaintances.store.knows,
            setup.rates,
            self._clock,
        )
        self._services = Services(
            reception_settings(config, setup.number),
            self._spool,
            self._rationing.outgoing,
            self._directory,
            out.recipients,
            self._authenticator,
            self._numbers,
            self._clock,
            policy=self._judging.policy,
            signers=self._signers,
            hop_key=self._steering.hop_key,
            frozen=self._rationing.frozen,
        )

    def _judging_of(self, config: Config, out: Outward) -> Judging:
        settings = policy_settings(config, self._setup.number, self._setup.of)
        return Judging(settings, out.resolver, self._memory, self._clock)

    def _scanner_statuses(self) -> list[GateStatus]:
        """Of the scanners that are asked now: a reload makes others."""
        return self._judging.scanners.statuses()

    def _outward_of(self, config: Config) -> Outward:
        ports, workers = real_ports(self._setup), self._setup.of
        suggestions = Suggestions(self._sent, self._acquaintances.store.reached_at)
        return outward(
            config,
            ports,
            workers,
            self._directory,
            self._numbers,
            self._clock,
            suggestions,
            self._spool.holdings,
            self._signers,
            self._returns,
            self._tls,
            self._steering,
        )

    async def live(self) -> int:
        """Serve from the first connection to the last commit."""
        try:
            certificates = Certificates(certificate_files(self._config))
        except BadCertificateError as error:
            log.error("worker.certificate", text=str(error))  # noqa: TRY400 - the text is the cause
            return EX_CONFIG
        loop = asyncio.get_running_loop()
        reception = Reception(self._services, certificates, self._setup.headcount)
        status = StatusWriter(
            self._config,
            self._setup,
            self._services,
            self._queue,
            reception.counts,
            self._clock,
            lambda: self._holding.counts,
            self._scanner_statuses,
        )
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload, reception)
        self._steering.begin(self._queue)
        self._steering.serve(self._outward.ways_out)
        self._queue.start(await self._spool.open())
        listeners = listener_settings(self._config)
        await reception.open([(listeners[index], sock) for index, sock in self._setup.listeners])
        self._keep_doing(status, reception)
        status.write()
        self._setup.report_ready()
        await self._stop.wait()
        await self._end(reception)
        return 0

    def _keep_doing(self, status: StatusWriter, reception: Reception) -> None:
        """What goes on in the background, each at its own pace."""
        jobs: dict[str, Job] = {
            "status": status.keep_writing,
            "commands": self._commands.keep_polling,
            "trace numbers": lambda: keep_reserving(self._counter),
            "certificates": lambda: self._keep_looking_at_certificates(reception),
            "block lists": self._keep_testing_blocklists,
            "uses": self._keep_counting_uses,
            "acquaintances": self._acquaintances.keep_writing,
            "what is held": self._holding.keep_going_round,
            **self._tls.jobs(),
            **self._steering.jobs,
        }
        if self._setup.number == 0:
            folder, settings = self._config.data_dir / "journal", self._journal_settings
            jobs["journal"] = lambda: keep_sweeping(folder, settings, self._clock)
            jobs["tests of TLS"] = self._tls.keep_testing
            jobs["freezes that end"] = self._rationing.keep_thawing
            jobs["DKIM keys"] = self._keep_looking_for_keys
            jobs["policies"] = lambda: keep_fresh(lambda: self._outward.policies)
            jobs["notices of what is held"] = self._holding.keep_writing
        for name, job in jobs.items():
            self._jobs.begin(name, job)

    async def _keep_testing_blocklists(self) -> None:
        """A list that is not well is not asked, and asked again when it has recovered."""
        while True:
            await self._judging.test_zones()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BLOCKLIST_CHECK_S):
                    await self._reloaded.wait()
            self._reloaded.clear()

    async def _keep_looking_for_keys(self) -> None:
        """New DKIM keys sign once their records are seen."""
        store = DkimStore(self._site.database, self._clock, "postern")
        publication = Publication(store, lambda: self._outward.resolver, self._clock)
        while True:
            try:
                await publication.look()
            except Exception:
                log.exception("worker.dkim_keys")
            await asyncio.sleep(DKIM_KEYS_S)

    async def _keep_counting_uses(self) -> None:
        """How often each rule was of use, and when last."""
        while True:
            await asyncio.sleep(USES_S)
            await self._write_uses()

    async def _write_uses(self) -> None:
        """How often exceptions were of use: rules, routes, resolvers for zones, exemptions."""
        zones = self._outward.resolver.take_forward_uses()
        uses = {**zones, **self._steering.table.take_uses(), **self._tls.take_uses()}
        await self._judging.write_uses(self._rules, uses)

    def _reload(self, reception: Reception) -> None:
        """Take up the configuration for all that begins from now on; mistakes change nothing."""
        try:
            config, _ = keep_fixed(self._config, load(self._config.source))
            certificates = Certificates(certificate_files(config))
            watch = CertificateFilesWatch(certificate_files(config))
            fresh = self._outward_of(config)
            judging = self._judging_of(config, fresh)
            services = replace(
                self._services,
                settings=reception_settings(config, self._setup.number),
                recipients=fresh.recipients,
                policy=judging.policy,
            )
            held = hold_settings(config, self._setup.of)
        except (ConfigError, BadCertificateError, OSError) as error:
            log.error("worker.reload_refused", text=str(error))  # noqa: TRY400 - the text is the cause
            return
        except Exception:
            log.exception("worker.reload_bug")
            return
        old, self._outward, self._config = self._outward, fresh, config
        self._directory.answer_for_host(fresh.is_this_host)
        self._forwarding.serve(fresh)
        self._steering.serve(fresh.ways_out)
        self._certificate_files = watch
        before, self._judging = self._judging, judging
        judging.take_over(before)
        judging.begin()
        self._services = services
        reception.reload(services, certificates)
        self._spool.holdings.resize(held)
        self._holding.reload(config)
        self._tls.reload(config)
        self._rationing.reload(config)
        self._queue.reload(fresh.router, fresh.courier, fresh.tidings, fresh.queue_settings)
        self._leaving.add(leaving := asyncio.get_running_loop().create_task(old.close(OLD_WAYS_S)))
        leaving.add_done_callback(self._leaving.discard)
        self._reloaded.set()
        log.info("worker.reloaded")

    async def _keep_looking_at_certificates(self, reception: Reception) -> None:
        """A certificate that was renewed is served without anybody asking for it."""
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_S)
            if not await asyncio.to_thread(self._certificate_files.changed):
                continue
            try:
                certificates = Certificates(certificate_files(self._config))
            except BadCertificateError as error:
                # Half of a pair was replaced, perhaps: the old one is served until both fit.
                log.warning("worker.certificate", text=str(error))
            else:
                reception.reload(self._services, certificates)
                log.info("worker.certificates_renewed")

    async def _end(self, reception: Reception) -> None:
        """Finish what is running within the grace, commit, and leave the rest to the spool."""
        grace_s = self._config.stop_grace_s
        await asyncio.gather(reception.stop(grace_s), self._queue.stop(grace_s))
        await self._jobs.stop()
        await self._write_uses()
        await self._acquaintances.close()
        await self._greylist.close()
        await self._outward.close(END_S)
        await self._steering.close()
        await self._tls.close()
        await self._spool.close()
        self._authenticator.close()
        if self._memory.patience is not None:
            await asyncio.to_thread(self._memory.patience.close)
        self._site.close()
