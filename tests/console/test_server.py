"""The console over real HTTP, in a process as the supervisor starts it."""

import http.client
import multiprocessing
import multiprocessing.process
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postern.console.health import reasons_not_ready
from postern.console.metrics import Sample
from postern.console.server import ConsoleSettings, serve_console
from postern.runtime.clock import FakeClock
from postern.runtime.processes import ConsoleSetup, WorkerStatus, status_path, write_status

NOW = 1_750_000_000.0


def status(number: int, age_s: float = 0.0, *, writable: bool = True) -> WorkerStatus:
    return WorkerStatus(
        pid=1,
        number=number,
        started_at=NOW - 100,
        at=NOW - age_s,
        spool_writable=writable,
        reason="" if writable else "disk full",
    )


@dataclass
class Console:
    port: int
    run_dir: Path
    process: multiprocessing.process.BaseProcess

    def get(self, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read().decode()
            return answer.status, body, {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()


def run(settings: ConsoleSettings, setup: ConsoleSetup) -> None:
    os._exit(serve_console(settings, setup, FakeClock(NOW)))


def extra() -> list[Sample]:
    return [Sample("postern_extra", (), 1.0)]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    listener = socket.create_server(("127.0.0.1", 0))
    reading, writing = os.pipe()
    settings = ConsoleSettings(run_dir=tmp_path, workers=2, stop_grace_s=1.0, extra=extra)
    setup = ConsoleSetup((listener,), tmp_path, 2, writing)
    process = multiprocessing.get_context("fork").Process(target=run, args=(settings, setup))
    process.start()
    os.close(writing)
    assert os.read(reading, 1) == b"R"
    os.close(reading)
    port = listener.getsockname()[1]
    listener.close()
    yield Console(port, tmp_path, process)
    process.kill()
    process.join(20)
    process.close()


def test_ready_when_all_workers_report_and_can_write(console: Console) -> None:
    for number in range(2):
        write_status(status_path(console.run_dir, number), status(number, 4.0))
    assert console.get("/readyz")[:2] == (200, "ok\n")


def test_not_ready_says_why_for_each_worker(console: Console) -> None:
    write_status(status_path(console.run_dir, 0), status(0, writable=False))
    code, body, _ = console.get("/readyz")
    assert code == 503
    assert body.splitlines() == [
        "worker 1 has never reported",
        "worker 0 cannot write its spool: disk full",
    ]


def test_healthy_without_any_worker(console: Console) -> None:
    assert console.get("/healthz")[:2] == (200, "ok\n")


def test_metrics_are_prometheus_text(console: Console) -> None:
    write_status(status_path(console.run_dir, 0), status(0))
    write_status(status_path(console.run_dir, 1), status(1, age_s=60))
    code, body, headers = console.get("/metrics")
    assert code == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'postern_worker_up{worker="0"} 1.0' in body
    assert 'postern_worker_up{worker="1"} 0.0' in body
    assert "postern_extra 1.0" in body


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/metrics/", "/../etc/passwd"])
def test_nothing_else_is_served(console: Console, path: str) -> None:
    assert console.get(path)[0] == 404


def test_pages_are_only_read(console: Console) -> None:
    assert console.get("/metrics", "POST")[0] == 405
    assert console.get("/healthz", "HEAD")[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/nothing"])
def test_every_answer_has_the_security_headers(console: Console, path: str) -> None:
    headers = console.get(path)[2]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_sigterm_ends_with_0(console: Console) -> None:
    assert console.process.pid is not None
    os.kill(console.process.pid, signal.SIGTERM)
    console.process.join(20)
    assert console.process.exitcode == 0


def test_worker_beyond_the_configured_ones_is_no_reason() -> None:
    assert reasons_not_ready([status(0), status(5, writable=False)], 1, NOW) == []


def test_fresh_means_at_most_5_seconds() -> None:
    assert reasons_not_ready([status(0, 5.0)], 1, NOW) == []
    assert reasons_not_ready([status(0, 5.1)], 1, NOW) == ["worker 0 last reported 5 s ago"]
