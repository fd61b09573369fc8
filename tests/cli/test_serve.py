"""``postern serve`` as an operator meets it: the whole tree in a process of its own."""

import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import postern
from postern.runtime.processes import read_statuses

SOURCE = Path(postern.__file__).parents[1]
DEADLINE_S = 30.0

TEXT = """
hostname = "mx.postern.test"
workers = 2
stop_grace_s = 3
[[listener]]
kind = "mx"
bind = "127.0.0.1:0"
[[listener]]
kind = "submission"
bind = "unix:run/submit.sock"
[console]
bind = "127.0.0.1:0"
"""


class Served:
    """One ``postern serve`` and what it says on stderr."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "data" / "run"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "postern", "--config", str(folder / "postern.toml"), "serve"],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
        )
        self.seen: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))

    def wait_line(self, part: str) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line with {part!r}; there were {self.seen}")
            self.seen.append(line)
            if part in line:
                return line

    def get(self, path: str) -> tuple[int, str]:
        port = json.loads((self.run_dir / "console.json").read_text())["port"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "postern.toml").write_text(TEXT)
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    server = Served(folder)
    server.wait_line("postern: ready")
    yield server
    server.close()


def wait_for_ready_page(served: Served) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (answer := served.get("/readyz"))[0] != 200:
        assert time.monotonic() < deadline, answer


def test_ready_server_greets_and_tells_its_ports(served: Served) -> None:
    wait_for_ready_page(served)
    statuses = read_statuses(served.run_dir)
    assert [status.number for status in statuses] == [0, 1]
    ports = {status.ports[0].port for status in statuses}
    assert len(ports) == 1
    with socket.create_connection(("127.0.0.1", ports.pop()), DEADLINE_S) as client:
        assert client.makefile().readline().startswith("220 mx.postern.test")
    assert 'postern_worker_up{worker="1"} 1.0' in served.get("/metrics")[1]


def test_sigterm_to_the_group_ends_with_0_and_leaves_nothing(served: Served) -> None:
    os.killpg(served.process.pid, signal.SIGTERM)
    assert served.process.wait(DEADLINE_S) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(served.process.pid, 0)
    assert not (served.run_dir / "submit.sock").exists()


def test_second_start_names_the_first_and_exits_75(served: Served, folder: Path) -> None:
    second = Served(folder)
    try:
        assert second.process.wait(DEADLINE_S) == 75
        line = second.wait_line("is being served already")
        assert f"pid {served.process.pid}" in line
    finally:
        second.close()
    wait_for_ready_page(served)


def test_bad_configuration_at_a_reload_keeps_the_old(served: Served, folder: Path) -> None:
    (folder / "postern.toml").write_text(TEXT.replace("workers", "workerz"))
    served.process.send_signal(signal.SIGHUP)
    assert "did you mean 'workers'?" in served.wait_line("the old one stays")
    wait_for_ready_page(served)
    (folder / "postern.toml").write_text(TEXT.replace("workers = 2", "workers = 3"))
    served.process.send_signal(signal.SIGHUP)
    assert "workers" in served.wait_line("only taken up by a restart")
    served.wait_line("configuration reloaded")


def test_bad_configuration_at_the_start_exits_78(folder: Path) -> None:
    (folder / "postern.toml").write_text(TEXT.replace("workers", "workerz"))
    server = Served(folder)
    try:
        assert server.process.wait(DEADLINE_S) == 78
        server.wait_line("postern.toml:3:1: error: workerz")
    finally:
        server.close()


def test_data_folder_that_cannot_be_made_is_one_line(folder: Path) -> None:
    (folder / "data").write_text("a file")
    server = Served(folder)
    try:
        assert server.process.wait(DEADLINE_S) == 73
        server.wait_line("postern: ")
    finally:
        server.close()


def test_killed_server_starts_again_on_its_data(folder: Path) -> None:
    for _ in range(2):
        server = Served(folder)
        server.wait_line("postern: ready")
        server.process.kill()
        server.close()
