"""What a worker reports once a second: ``run/worker-N.json``, for metrics, doctor and scripts.

Counters go on where the worker's predecessor left them: sums over workers never shrink because one
of them crashed. The server forgets the files when it starts anew.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, Sequence

import structlog

from postern.config.settings import Config
from postern.policy.scanners.breaker import State
from postern.policy.scanners.gate import GateStatus
from postern.queue.keeper import HeldCounts
from postern.queue.standing import Standing
from postern.queue.worker import QueueWorker
from postern.reception.limits import ConnectionCounts
from postern.reception.services import Services
from postern.runtime.clock import Clock
from postern.runtime.processes import (
    PortStatus,
    ScannerStatus,
    WorkerSetup,
    WorkerStatus,
    metric_key,
    read_status,
    write_status,
)

log = structlog.get_logger("postern.worker")

PERIOD_S = 1.0


class StatusWriter:
    """Gathers one worker's numbers and writes them down."""

    def __init__(
        self,
        config: Config,
        setup: WorkerSetup,
        services: Services,
        queue: QueueWorker,
        counts_in: ConnectionCounts,
        clock: Clock,
        held: Callable[[], HeldCounts],
        scanners: Callable[[], Sequence[GateStatus]],
    ) -> None:
        self._held = held
        self._scanners = scanners
        self._setup = setup
        self._services = services
        self._queue = queue
        self._standing = Standing(queue.groups)
        self._counts_in = counts_in
        self._clock = clock
        self._started_at = clock.now()
        self._counts: dict[str, float] = {}
        predecessor = read_status(setup.status_path)
        self._base = predecessor.counters if predecessor else {}
        # Asked now: at the stop the sockets close before the last status is written.
        self._ports = tuple(port_statuses(config, setup))

    async def keep_writing(self) -> None:
        """Write every second until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                waiting, held, oldest = await self._services.spool.totals()
                waiting += self._queue.fresh
                self._counts = {
                    metric_key("postern_queue_messages", {"state": "waiting"}): waiting,
                    metric_key("postern_queue_messages", {"state": "held"}): held,
                    "postern_queue_oldest_age_seconds": (
                        max(0.0, self._clock.now() - oldest) if oldest else 0.0
                    ),
                }
            except Exception as error:  # noqa: BLE001 - a worker without numbers still carries mail
                log.warning("worker.no_totals", error=str(error))
            self.write()

    def write(self) -> None:
        """Write once, now."""
        try:
            write_status(self._setup.status_path, self._status())
        except OSError as error:
            log.warning("worker.status", error=str(error))

    def _status(self) -> WorkerStatus:
        tally = self._services.tally
        counters: dict[str, float] = {
            "postern_messages_accepted_total": tally.accepted,
            "postern_smtp_sessions_total": self._counts_in.ever,
        }
        for check, count in tally.refusals.items():
            counters[metric_key("postern_smtp_refusals_total", {"check": check})] = count
        for check, count in tally.unknown.items():
            counters[metric_key("postern_check_unknown_total", {"check": check})] = count
        for result, count in self._queue.attempts.items():
            counters[metric_key("postern_delivery_attempts_total", {"result": result})] = count
        scanners = self._scanners()
        for scanner in scanners:
            counters |= _scan_counters(scanner)
        for key, so_far in self._base.items():
            counters[key] = counters.get(key, 0.0) + so_far
        spool = self._services.spool
        has_room = spool.space.may_accept()
        reason = "" if spool.is_writable else "the spool could not be written"
        if not has_room:
            reason = "the disk is nearly full"
        groups = self._standing.told(self._clock.now())
        return WorkerStatus(
            os.getpid(),
            self._setup.number,
            self._started_at,
            self._clock.now(),
            self._ports,
            self._queue.groups.used,
            self._queue.groups.slots,
            counters,
            {
                **self._counts,
                **self._held_gauges(),
                **{
                    metric_key("postern_queue_groups", {"condition": condition}): float(count)
                    for condition, count in self._standing.counts.items()
                },
                "postern_smtp_connections": self._counts_in.open,
                **{
                    metric_key("postern_scanner_up", {"scanner": one.name}): float(
                        one.state is State.CLOSED
                    )
                    for one in scanners
                },
            },
            spool.is_writable and has_room,
            reason,
            tuple(
                ScannerStatus(one.name, one.state.value, one.cause, one.running, one.waiting)
                for one in scanners
            ),
            self._standing.lanes(),
            groups,
        )

    def _held_gauges(self) -> dict[str, float]:
        held, now = self._held(), self._clock.now()
        return {
            "postern_quarantine_messages": held.count,
            "postern_quarantine_bytes": held.size_bytes,
            "postern_quarantine_untold": held.untold,
            "postern_quarantine_oldest_age_seconds": max(0.0, now - (held.oldest_at or now)),
            "postern_quarantine_untold_age_seconds": max(0.0, now - (held.untold_at or now)),
        }


def _scan_counters(scanner: GateStatus) -> dict[str, float]:
    """What one scanner did: scans by result, and the seconds that messages spent on it."""
    name, counts = {"scanner": scanner.name}, scanner.counts
    return {
        metric_key("postern_scan_duration_seconds_sum", name): counts.seconds,
        metric_key("postern_scan_duration_seconds_count", name): counts.scans.total(),
        **{
            metric_key("postern_scans_total", {**name, "result": result}): count
            for result, count in counts.scans.items()
        },
    }


def port_statuses(config: Config, setup: WorkerSetup) -> Iterator[PortStatus]:
    """Each listener as it really is; its socket must be open."""
    for index, sock in setup.listeners:
        listener = config.listeners[index]
        port = 0 if sock.family == socket.AF_UNIX else sock.getsockname()[1]
        yield PortStatus(listener.kind, str(listener.bind), port)
