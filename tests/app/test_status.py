"""What a worker reports: counters that outlive it, and ports that outlive its sockets."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from postern.app.status import StatusWriter
from postern.config.settings import Config
from postern.queue.groups import Groups
from postern.queue.keeper import HeldCounts
from postern.queue.worker import QueueWorker
from postern.reception.limits import ConnectionCounts
from postern.reception.services import Services
from postern.reception.tally import Tally
from postern.runtime.clock import FakeClock
from postern.runtime.headcount import Headcount
from postern.runtime.processes import WorkerSetup, WorkerStatus, read_status, status_path
from postern.runtime.ratetable import RateTable

REFUSALS = 'postern_smtp_refusals_total{check="rcpt.unknown"}'
UNKNOWN = 'postern_check_unknown_total{check="mailfrom.dns-timeout"}'


class Life:
    """One worker between its birth and its end, as far as its numbers go."""

    def __init__(self, folder: Path, listener: socket.socket | None = None) -> None:
        self.tally = Tally()
        self.counts_in = ConnectionCounts(10, 10, Headcount(1))
        self.path = status_path(folder, 0)
        spool = SimpleNamespace(is_writable=True, space=SimpleNamespace(may_accept=lambda: True))
        groups = Groups(2, 2, {})
        place = SimpleNamespace(kind="mx", bind="127.0.0.1:0")
        listeners = () if listener is None else ((0, listener),)
        self.attempts = {"delivered": 0, "deferred": 0, "refused": 0}
        self.writer = StatusWriter(
            cast("Config", SimpleNamespace(listeners=[place])),
            WorkerSetup(0, 1, listeners, self.path, -1, Headcount(1), RateTable()),
            cast("Services", SimpleNamespace(tally=self.tally, spool=spool)),
            cast("QueueWorker", SimpleNamespace(attempts=self.attempts, groups=groups, fresh=0)),
            self.counts_in,
            FakeClock(),
            lambda: HeldCounts(3, 4096, 1, FakeClock().now() - 60),
            list,
        )

    def told(self) -> WorkerStatus:
        self.writer.write()
        status = read_status(self.path)
        assert status is not None
        return status


def test_counters_go_on_where_a_crashed_worker_left_them(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.tally.accepted = 7
    first.tally.refusals["rcpt.unknown"] = 3
    first.attempts["delivered"] = 5
    first.told()
    second = Life(tmp_path)
    assert second.told().counters["postern_messages_accepted_total"] == 7
    second.tally.accepted = 2
    second.tally.unknown["mailfrom.dns-timeout"] = 1
    second.told()
    # Once more, so that what the first counted is neither lost nor counted twice.
    counters = Life(tmp_path).told().counters
    assert counters["postern_messages_accepted_total"] == 9
    assert counters['postern_delivery_attempts_total{result="delivered"}'] == 5
    assert counters[REFUSALS] == 3
    assert counters[UNKNOWN] == 1


def test_connections_of_a_crashed_worker_are_not_open_any_more(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.counts_in.enter("192.0.2.7")
    first.told()
    second = Life(tmp_path).told()
    assert second.gauges["postern_smtp_connections"] == 0
    assert second.counters["postern_smtp_sessions_total"] == 1


def test_a_damaged_report_of_the_predecessor_is_no_reason_not_to_start(tmp_path: Path) -> None:
    status_path(tmp_path, 0).write_text('{"pid": ')
    assert Life(tmp_path).told().counters["postern_messages_accepted_total"] == 0


def test_ports_are_told_also_when_the_sockets_are_closed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        life = Life(tmp_path, listener)
    assert [found.port for found in life.told().ports] == [port]
