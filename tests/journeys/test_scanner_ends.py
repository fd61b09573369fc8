"""A scanner that hangs ends with its worker, however that ends, and so does all it started."""

import os
import signal
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.proctree import read_stat

SCRIPT = """#!/bin/sh
sleep 600 &
echo $! > {folder}/child
setsid sh -c 'echo $$ > {folder}/apart; exec sleep 600' &
env -i setsid sh -c 'echo $$ > {folder}/unmarked; exec sleep 600' &
while ! [ -s {folder}/apart ] || ! [ -s {folder}/unmarked ]; do sleep 0.01; done
echo $$ > {folder}/itself.new
mv {folder}/itself.new {folder}/itself
exec sleep 600 < "$1"
"""
NAMES = ("child", "apart", "unmarked", "itself")
MESSAGE = b"From: li@here.test\r\nSubject: tea\r\n\r\nHello\r\n"


@dataclass
class Scene:
    """A Postern whose one scanner never answers."""

    server: PosternServer
    folder: Path

    @contextmanager
    def scanning(self) -> Iterator[dict[str, int]]:
        """A message is with the scanner; its processes by name."""
        for name in NAMES:
            (self.folder / name).unlink(missing_ok=True)
        sender = threading.Thread(target=self._send)
        sender.start()
        started: dict[str, int] = {}
        try:
            wait_until((self.folder / "itself").exists, "the scanner to run")
            started = {name: int((self.folder / name).read_text()) for name in NAMES}
            assert all(map(is_running, started.values()))
            assert len(self.copies()) == 1
            yield started
        finally:
            for pid in started.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            sender.join()

    def _send(self) -> None:
        with (
            suppress(smtplib.SMTPException, OSError),
            smtplib.SMTP("127.0.0.1", self.server.port(), timeout=30) as client,
        ):
            client.sendmail("li@here.test", ["wang@here.test"], MESSAGE)

    def copies(self) -> list[Path]:
        return list((self.server.data / "run").glob("scan-*/*"))


def is_running(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.state not in "ZX"


def wait_for_their_end(started: dict[str, int], within_s: float = 5.0) -> None:
    def are_gone() -> bool:
        return not any(map(is_running, started.values()))

    wait_until(are_gone, f"the end of {started}", within_s=within_s)


@pytest.fixture
def scene(short_dir: Path) -> Iterator[Scene]:
    program = short_dir / "scan"
    program.write_text(SCRIPT.format(folder=short_dir))
    program.chmod(0o755)
    command = f'kind = "command"\ncommand = ["{program}", "{{file}}"]'
    settings = PosternSettings(top="stop_grace_s = 2", tables=(("scanner.ours", command),))
    with postern(settings) as running:
        running.domain_add("here.test")
        running.mailbox_add("wang@here.test")
        yield Scene(running, short_dir)


def test_worker_that_is_killed_takes_its_scanner_with_it_and_its_copy_is_removed(
    scene: Scene,
) -> None:
    with scene.scanning() as started:
        scene.server.kill_worker()
        wait_for_their_end(started)
        wait_until(lambda: not scene.copies(), "the copy to be removed", within_s=10)


def test_stop_leaves_no_scanner(scene: Scene) -> None:
    with scene.scanning() as started:
        os.killpg(scene.server.pid, signal.SIGTERM)
        scene.server.stop()
        assert not any(map(is_running, started.values()))
        assert scene.copies() == []


def test_server_killed_at_one_blow_takes_the_scanner_with_it_and_the_next_one_clears_up(
    scene: Scene,
) -> None:
    with scene.scanning() as started:
        scene.server.kill()
        wait_for_their_end({"itself": started["itself"]})
        scene.server.start()
        # What has cut all ties is known to nobody any more; systemd ends it with the service.
        wait_for_their_end({name: started[name] for name in ("child", "apart")})
        assert "scanners of an earlier server killed" in scene.server.log()
        assert scene.copies() == []
