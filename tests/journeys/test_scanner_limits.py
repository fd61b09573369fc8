"""The story of a scanner that could not be started for hours, and of an error that said nothing.

A limit of processes is reached because somebody leaves dead children behind. Then mail is refused
for now and never passes unscanned, the alarm names the limit, the number and the dead, and once
they are gone mail flows again.
"""

import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.journeys.told import code_in, traced, wait_state
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.swaks import swaks

from postern.runtime.limits import population

USER = "games"
"""An account that nobody uses: the kernel counts all processes of a user together."""
MOST = 80
LEAVES_DEAD_CHILDREN = (
    '$| = 1; for (1 .. shift) { fork or exit } print "ready\\n"; <STDIN>; 1 while wait > 0'
)


@contextmanager
def dead_children(count: int) -> Iterator[None]:
    """So many of ``USER``, until they are reaped at the end."""
    with subprocess.Popen(
        ["/usr/bin/perl", "-e", LEAVES_DEAD_CHILDREN, str(count)],
        user=USER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        try:
            assert parent.stdout.readline() == b"ready\n"
            uid = pwd.getpwnam(USER).pw_uid
            wait_until(lambda: population(uid).defunct_in_all == count, "them to be dead")
            yield
        finally:
            parent.stdin.close()
            parent.wait()


OPEN_THE_WAY = """
mount --bind "$1" "$2" && mount -t tmpfs -o mode=755 none "$3" && mkdir -p "$1" &&
mount --bind "$2" "$1" && shift 3 && exec "$@"
"""


def readable_by_all(hold: Path) -> Sequence[str]:
    """What to put in front of a command where our Python lies in somebody's closed folder.

    Then it runs with mounts of its own, in which nothing of that folder is there but Python.
    """
    prefix = Path(sys.base_prefix).resolve()
    closed = [path for path in prefix.parents if not path.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return ()
    words = (str(prefix), str(hold), str(closed[-1]))
    return ("unshare", "--mount", "sh", "-ec", f"umask 022; {OPEN_THE_WAY}", "sh", *words)


@pytest.fixture
def server(short_dir: Path) -> Iterator[PosternServer]:
    settings = PosternSettings(
        top=f'user = "{USER}"',
        wrapper=(*readable_by_all(short_dir), "prlimit", f"--nproc={MOST}:{MOST}"),
        tables=(
            (
                "scanner.ours",
                'kind = "command"\ncommand = ["/bin/true"]\nfailures = 2\nretry_s = 0.2',
            ),
        ),
    )
    with postern(settings) as running:
        running.domain_add("here.test")
        running.mailbox_add("wang@here.test")
        yield running


@pytest.mark.peers("swaks", "root")
def test_limit_of_processes_is_named_no_mail_passes_and_mail_flows_when_it_is_lifted(
    server: PosternServer,
) -> None:
    def send() -> str:
        message = b"From: li@here.test\nSubject: tea\n\nHello\n"
        exchange = swaks(server.port(), sender="li@here.test", to="wang@here.test", message=message)
        return exchange.reply_to(".")

    assert send().startswith("250 ")
    server.wait_for_messages("wang@here.test", 1)
    used = population(pwd.getpwnam(USER).pw_uid).tasks
    assert used is not None
    dead = MOST - used
    with dead_children(dead):
        refused = send()
        assert refused.startswith("451 4.3.0 ")
        told = traced(server, code_in(refused))
        assert told.because is not None
        assert (told.because.check, told.because.whose) == ("command.couldnt-tell", "us")
        assert "it could not be started: EAGAIN: " in told.because.text
        assert f" of {MOST} processes for uid {USER}" in told.because.text
        assert f"{dead} defunct" in told.because.text

        for _ in range(3):
            assert send().startswith("451 4.3.0 ")
        assert "scanner.down" in server.log()
        assert f"{dead} defunct" in server.log()
        wait_until(lambda: server.status().scanners[0].state != "up", "the worker to say so")
        doctor = server.cli_json("doctor", codes=(0, 1, 2, 3))
        results = doctor["results"]
        assert isinstance(results, list)
        said = {result["check"]: result for result in results}
        assert said["limits.processes"]["result"] == "problem"
        assert f"of {MOST}" in said["limits.processes"]["what"]
        assert said["limits.defunct"]["result"] == "warning"
        assert f"{dead} by perl" in said["limits.defunct"]["what"]
        assert said["scanner.ours"]["result"] == "problem"
        assert "EAGAIN" in said["scanner.ours"]["what"]
        assert len(server.messages("wang@here.test")) == 1

    wait_until(lambda: send().startswith("250 "), "mail to flow again")
    wait_state(server, "li@here.test", wang="delivered")
    assert len(server.wait_for_messages("wang@here.test", 2)) >= 2
