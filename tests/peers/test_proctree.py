"""The cost of a process tree is read right, ended children included."""

import os
import subprocess
import sys

from tests.peers.proctree import cpu_s, read_stat, tree, tree_pss_bytes, wait_gone

BURN = "import time; begin = time.process_time()\nwhile time.process_time() < begin + 0.3: pass"


def test_tree_holds_the_process_and_its_children() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        pids = [stat.pid for stat in tree(os.getpid())]
        child.kill()
    assert pids[0] == os.getpid()
    assert child.pid in pids


def test_cpu_of_ended_children_is_charged_to_their_parent() -> None:
    before = cpu_s(os.getpid())
    subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    assert cpu_s(os.getpid()) - before >= 0.25


def test_memory_of_a_tree_grows_with_what_its_child_holds() -> None:
    hold = "import sys; held = b'x' * 50_000_000; print('held', flush=True); sys.stdin.read()"
    before = tree_pss_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-S", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert tree_pss_bytes(os.getpid()) - before > 45_000_000


def test_ended_processes_are_gone_and_running_ones_are_left() -> None:
    ended = subprocess.Popen(["true"])
    with subprocess.Popen(["sleep", "60"]) as running:
        assert wait_gone([ended.pid, running.pid], within_s=1.0) == [running.pid]
        running.kill()
    ended.wait()
    assert read_stat(ended.pid) is None
    assert tree(ended.pid) == []
