"""The process tree, with real forks, signals and sockets."""

import contextlib
import fcntl
import json
import os
import pwd
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import postern

SCRIPT = Path(__file__).with_name("supervised_tree.py")
SOURCE = Path(postern.__file__).parents[1]
DEADLINE_S = 20.0

Start = Callable[..., "Tree"]


def as_systemd_starts(high: Sequence[int]) -> list[str]:
    """A command that hands open sockets on as sd_listen_fds(3) says: from descriptor 3 on.

    ``high``: where they are now, out of the way of where they have to go.
    """
    moves = " ".join(f"{3 + n}<&{descriptor} {descriptor}<&-" for n, descriptor in enumerate(high))
    script = f'LISTEN_PID=$$ LISTEN_FDS={len(high)} exec "$@" {moves}'
    return ["bash", "-c", script, "bash"] if high else []


class Tree:
    """A supervisor in a process group of its own."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        given: Sequence[socket.socket],
        wrapper: Sequence[str],
        plan: dict[str, object],
    ) -> None:
        self.folder = folder
        (folder / "plan.json").write_text(json.dumps(plan))
        high = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for sock in given]
        self.process = subprocess.Popen(
            [*as_systemd_starts(high), *wrapper, sys.executable, str(SCRIPT), str(folder)],
            pass_fds=high,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE)} | environment,
        )
        for descriptor in high:
            os.close(descriptor)
        self.seen: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))

    def wait_line(self, pattern: str) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line like {pattern!r}; there were {self.seen}")
            self.seen.append(line)
            if re.search(pattern, line):
                return line

    def wait_ready(self) -> "Tree":
        self.wait_line("^postern: ready$")
        return self

    @property
    def ports(self) -> list[int]:
        ports = json.loads((self.folder / "ports.json").read_text())
        assert isinstance(ports, list)
        return ports

    def ask(self, word: str, port: int | None = None) -> str:
        with socket.create_connection(("127.0.0.1", port or self.ports[0]), DEADLINE_S) as caller:
            caller.sendall(f"{word}\n".encode())
            try:
                return caller.makefile().readline()
            except ConnectionResetError:
                return ""

    def workers_heard(self, wanted: set[int]) -> dict[int, int]:
        """Ask until every wanted worker has answered; number to pid."""
        heard: dict[int, int] = {}
        deadline = time.monotonic() + DEADLINE_S
        while not wanted <= set(heard):
            assert time.monotonic() < deadline, f"only {heard} answer"
            number, pid, *_ = self.ask("who").split()
            heard[int(number)] = int(pid)
        return heard

    def pid_of(self, number: int) -> int:
        return int((self.folder / f"pid-{number}").read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    trees: list[Tree] = []

    def start_tree(
        environment: dict[str, str] | None = None,
        folder: Path = tmp_path,
        given: Sequence[socket.socket] = (),
        wrapper: Sequence[str] = (),
        **plan: object,
    ) -> Tree:
        tree = Tree(folder, environment or {}, given, wrapper, plan)
        trees.append(tree)
        return tree

    yield start_tree
    for tree in trees:
        tree.close()


@pytest.fixture
def folder_for_all() -> Iterator[Path]:
    """A folder that every user may write to; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="postern-tree-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def is_running(pid: int) -> bool:
    """False for a process that is gone, or dead and not fetched by its new parent yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.01)


def test_all_workers_share_the_port_that_was_picked(start: Start) -> None:
    tree = start(workers=3).wait_ready()
    heard = tree.workers_heard({0, 1, 2})
    assert len(set(heard.values())) == 3


def test_ready_is_said_once_and_first(start: Start) -> None:
    tree = start(workers=2, console=True).wait_ready()
    assert tree.ask("who", tree.ports[1]).startswith("-1 ")
    tree.ask("crash")
    tree.wait_line("was killed by SIGKILL; starting it again in 0.1 s")
    tree.workers_heard({0, 1})
    assert tree.stop() == 0
    tree._reader.join(DEADLINE_S)
    rest = list(tree._lines.queue)
    assert (tree.seen + rest).count("postern: ready") == 1


def test_crashed_worker_comes_back_on_its_socket_and_no_connection_is_refused(
    start: Start,
) -> None:
    tree = start(workers=1).wait_ready()
    before = tree.workers_heard({0})[0]
    tree.ask("crash")
    # No wait: this connection may only be queued, never refused.
    after = tree.workers_heard({0})[0]
    assert before != after


def test_what_is_counted_is_counted_over_all_workers(start: Start) -> None:
    tree = start(workers=2).wait_ready()
    tree.workers_heard({0, 1})
    assert [tree.ask("count").strip() for _ in range(20)] == [str(n) for n in range(1, 21)]


def test_what_a_crashed_worker_counted_is_forgotten(start: Start) -> None:
    tree = start(workers=1).wait_ready()
    assert tree.ask("count").strip() == "1"
    tree.ask("crash")
    assert tree.ask("count").strip() == "1"


def test_crash_ends_nobody_who_was_there_before_the_supervisor(
    start: Start, tmp_path: Path
) -> None:
    """As in ``sidecar & exec postern serve``, which makes the sidecar a child of ours."""
    sidecars = f"sleep 600 & echo $! > {tmp_path}/1; setsid sleep 600 & echo $! > {tmp_path}/2"
    wrapper = ("sh", "-c", f'{sidecars}; exec "$@"', "sh")
    tree = start(wrapper=wrapper, workers=1).wait_ready()
    pids = [int((tmp_path / name).read_text()) for name in ("1", "2")]
    try:
        tree.ask("crash")
        tree.workers_heard({0})
        tree.ask("crash")
        tree.workers_heard({0})
        assert all(map(is_running, pids))
        assert tree.stop() == 0
        assert all(map(is_running, pids))
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_exit_status_of_a_crash_is_told_and_pauses_grow(start: Start) -> None:
    tree = start(workers=1).wait_ready()
    tree.ask("exit 3")
    tree.wait_line(r"worker-0 \(pid \d+\) ended with exit status 3; starting it again in 0.1 s")
    tree.ask("exit 3")
    tree.wait_line(r"ended with exit status 3; starting it again in 0.2 s")


def test_sigterm_ends_with_0_and_leaves_no_child(start: Start) -> None:
    tree = start(workers=2, console=True, unix=True).wait_ready()
    pids = list(tree.workers_heard({0, 1}).values())
    port = tree.ports[0]
    assert tree.stop() == 0
    assert not any(is_running(pid) for pid in pids)
    with pytest.raises(ProcessLookupError):
        os.killpg(tree.process.pid, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1.0)
    assert not (tree.folder / "run" / "submit.sock").exists()


def test_signal_to_the_whole_group_stops_all_without_a_crash_line(start: Start) -> None:
    tree = start(workers=2).wait_ready()
    os.killpg(tree.process.pid, signal.SIGTERM)
    assert tree.process.wait(DEADLINE_S) == 0
    tree._reader.join(DEADLINE_S)
    assert not any("starting it again" in line for line in tree._lines.queue)


def test_worker_that_does_not_stop_is_killed_after_the_grace(start: Start) -> None:
    tree = start(workers=1, stubborn=True, stop_grace_s=0.1, stop_slack_s=0.2).wait_ready()
    pid = tree.pid_of(0)
    assert tree.stop() == 0
    tree.wait_line(rf"worker-0 \(pid {pid}\) did not stop in time: killed")
    assert not is_running(pid)


def test_worker_that_commits_after_the_grace_is_not_killed_over_it(start: Start) -> None:
    tree = start(workers=1, ends_late_s=2.6, stop_grace_s=0.1).wait_ready()
    assert tree.stop() == 0
    tree._reader.join(DEADLINE_S)
    assert not any("killed" in line for line in tree._lines.queue)


def test_workers_die_with_a_killed_supervisor_and_the_data_is_free_again(start: Start) -> None:
    tree = start(workers=2, stubborn=True).wait_ready()
    pids = [tree.pid_of(0), tree.pid_of(1)]
    tree.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, pids)), "workers outlive their supervisor")
    start(workers=1).wait_ready()


def test_second_start_on_the_same_data_names_the_first(start: Start) -> None:
    first = start(workers=1).wait_ready()
    second = start(workers=1)
    assert second.process.wait(DEADLINE_S) == 75
    line = second.wait_line("is being served already")
    assert f"(pid {first.process.pid})" in line
    assert first.workers_heard({0})


def test_port_of_another_program_is_refused_by_name(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        tree = start(workers=2, port=port)
        assert tree.process.wait(DEADLINE_S) == 75
        tree.wait_line(rf"listener\[1\].bind: cannot listen at 127.0.0.1:{port}: another program")


def test_port_of_another_postern_is_not_shared_in_silence(start: Start, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        tree = start(workers=2, port=other.getsockname()[1])
        assert tree.process.wait(DEADLINE_S) == 75


def test_sockets_that_systemd_opened_are_served(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "run" / "submit.sock"
    path.parent.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as given,
        socket.create_server(("127.0.0.1", 0)) as unwanted,
        socket.socket(socket.AF_UNIX) as local,
    ):
        local.bind(str(path))
        local.listen()
        port = given.getsockname()[1]
        tree = start(given=[unwanted, local, given], port=port, unix=True).wait_ready()
        tree.workers_heard({0, 1})
        assert tree.ports[0] == port
        assert any("activation.unwanted" in line for line in tree.seen)
        assert tree.stop() == 0
        assert path.exists()


def test_sighup_reaches_the_workers(start: Start) -> None:
    tree = start(workers=1).wait_ready()
    assert tree.ask("who").split()[3] == "0"
    tree.process.send_signal(signal.SIGHUP)
    tree.wait_line("configuration reloaded")
    wait_until(lambda: tree.ask("who").split()[3] == "1", "the worker did not reload")


def test_refused_configuration_is_told_and_the_old_one_stays(start: Start) -> None:
    tree = start(workers=1).wait_ready()
    (tree.folder / "refusal").write_text("postern.toml:3:1: error")
    tree.process.send_signal(signal.SIGHUP)
    line = tree.wait_line("the new configuration is not taken, the old one stays")
    assert "postern.toml:3:1: error" in line
    assert tree.ask("who").split()[3] == "0"


def test_console_is_replaced_by_a_reload_on_the_same_port(start: Start) -> None:
    tree = start(workers=1, console=True).wait_ready()
    before = tree.ask("who", tree.ports[1]).split()[1]
    tree.process.send_signal(signal.SIGHUP)
    tree.wait_line("configuration reloaded")

    def is_new() -> bool:
        answer = tree.ask("who", tree.ports[1]).split()
        return bool(answer) and answer[1] != before

    wait_until(is_new, "the old console still answers")


def test_hopeless_start_ends_the_tree_with_its_code(start: Start) -> None:
    tree = start(workers=2, exit_at_start=78)
    assert tree.process.wait(DEADLINE_S) == 78
    tree.wait_line(r"cannot start \(exit 78\)")


@pytest.mark.parametrize("plan", [{"console_breaks": 1}, {"console_exits": 77}])
def test_a_console_that_does_not_start_holds_nothing_back_and_is_tried_again(
    start: Start, plan: dict[str, object]
) -> None:
    tree = start(workers=2, console=True, console_patience_s=1, **plan)
    tree.wait_line("console .* starting it again in 0.1 s")
    tree.wait_line("console .* starting it again in 0.2 s")
    tree.wait_ready()
    assert sum("the console does not start" in line for line in tree.seen) == 1
    assert tree.workers_heard({0, 1})
    assert tree.stop() == 0


def test_a_console_that_hangs_is_waited_for_a_while_and_systemd_is_told(
    start: Start, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = tmp_path / "notify"
        manager.bind(str(address))
        manager.settimeout(DEADLINE_S)
        plan = {"console_hangs": 1, "console_patience_s": 0.5}
        tree = start({"NOTIFY_SOCKET": str(address)}, workers=1, console=True, **plan)
        tree.wait_ready()
        said = manager.recv(4096).decode()
    assert said == "READY=1\nSTATUS=serving with 1 workers; the console does not start"
    assert tree.stop() == 0


def test_a_crash_is_told_in_one_line(start: Start) -> None:
    tree = start(workers=1, console=True, console_breaks=1)
    line = tree.wait_line("process.crashed")
    assert "ModuleNotFoundError" in line
    tree.wait_line("starting it again")
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in tree.seen), tree.seen


def test_unix_socket_left_by_a_killed_server_is_replaced(start: Start) -> None:
    first = start(workers=1, unix=True).wait_ready()
    first.stop(signal.SIGKILL)
    path = first.folder / "run" / "submit.sock"
    assert path.exists()
    start(workers=2, unix=True).wait_ready()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(DEADLINE_S)
        caller.connect(str(path))
        caller.sendall(b"who\n")
        assert caller.makefile().readline()
    assert path.stat().st_mode & 0o777 == 0o666


def test_systemd_is_told_of_start_reload_watchdog_and_stop(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = tmp_path / "notify"
        manager.bind(str(address))
        manager.settimeout(DEADLINE_S)
        heard: list[str] = []

        def wait_for(word: str) -> None:
            while not heard or not heard[-1].startswith(word):
                heard.append(manager.recv(4096).decode())

        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        tree = start(environment, workers=1).wait_ready()
        wait_for("READY=1")
        wait_for("WATCHDOG=1")
        tree.process.send_signal(signal.SIGHUP)
        wait_for("RELOADING=1\nMONOTONIC_USEC=")
        wait_for("READY=1")
        tree.process.send_signal(signal.SIGTERM)
        wait_for("STOPPING=1")
        assert tree.process.wait(DEADLINE_S) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_children_give_up_root_and_still_die_with_the_supervisor(
    start: Start, folder_for_all: Path
) -> None:
    uid = pwd.getpwnam("nobody").pw_uid
    tree = start(folder=folder_for_all, workers=1, user="nobody", stubborn=True).wait_ready()
    assert int(tree.ask("who").split()[2]) == uid
    pid = tree.pid_of(0)
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in status
    assert "NoNewPrivs:\t1" in status
    tree.stop(signal.SIGKILL)
    wait_until(lambda: not is_running(pid), "the worker outlives its supervisor")
