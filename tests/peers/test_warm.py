"""What is forked from the nursery is a process like any other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.peers.process import Process
from tests.peers.proctree import wait_gone
from tests.peers.warm import CommandResult, Forked, Request, nursery, run_warm

ROOT = Path(__file__).resolve().parents[2]


def warm(*arguments: str, stdin: str = "", folder: Path = ROOT, **variables: str) -> CommandResult:
    return run_warm(Request("postern", arguments, os.environ | variables, str(folder)), stdin=stdin)


def fresh(*arguments: str, stdin: str = "", folder: Path = ROOT, **variables: str) -> CommandResult:
    done = subprocess.run(
        [sys.executable, "-m", "postern", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | variables,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "postern.toml").write_text('hostname = "mx.here.test"\ndata_dir = "data"\n')
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["wyh"], ["queue", "--json"], ["domain", "list", "--json"],
     ["mailbox", "add", "a@nowhere.example", "--password-stdin"], ["queue", "--no-such-option"]],
    ids=" ".join,
)  # fmt: skip
def test_a_command_says_and_ends_as_in_an_interpreter_of_its_own(
    tmp_path: Path, arguments: list[str]
) -> None:
    said = []
    for run in (fresh, warm):
        folder = tmp_path / run.__name__
        folder.mkdir()
        (folder / "postern.toml").write_text('hostname = "mx.here.test"\ndata_dir = "data"\n')
        said.append(run(*arguments, stdin="tea and milk\n", folder=folder))
    assert said[0] == said[1]


def test_it_has_the_folder_the_environment_and_the_input_it_was_given(site: Path) -> None:
    assert warm("domain", "list", folder=site).exit_code == 0
    assert warm("domain", "list", folder=site.parent).exit_code == 78
    assert warm("domain", "list", POSTERN_CONFIG=str(site / "no.toml")).exit_code == 78
    assert warm("domain", "list", POSTERN_CONFIG=str(site / "postern.toml")).exit_code == 0
    assert warm("domain", "add", "tea.example", folder=site).exit_code == 0
    added = ("mailbox", "add", "wang@tea.example", "--password-stdin")
    assert warm(*added, folder=site).exit_code == 64
    assert warm(*added, stdin="tea and milk\n", folder=site).exit_code == 0


def start(module: str, *arguments: str) -> tuple[Forked, int]:
    """The process, and what it prints."""
    out, into = os.pipe()
    with Path(os.devnull).open("rb") as nothing:
        request = Request(module, arguments, os.environ, str(ROOT))
        process = nursery.fork(request, nothing.fileno(), into, into)
    os.close(into)
    return process, out


def test_it_is_alone_in_its_session_and_holds_nobody_elses_files() -> None:
    first, quiet = start("tests.peers.stands_still")
    process, out = start("tests.peers.stands_still")
    told = os.read(out, 200).split()
    assert told == [b"0,1,2", str(process.pid).encode(), str(process.pid).encode()]
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert os.read(out, 200) == b"", "nobody has it open any more"
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    assert first.wait(20) == first.poll() == -signal.SIGKILL
    for descriptor in (quiet, out):
        os.close(descriptor)


def test_one_that_does_not_end_is_given_up() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_warm(Request("tests.peers.stands_still", (), os.environ, str(ROOT)), timeout_s=0.2)


def test_its_end_is_told_once_it_has_ended() -> None:
    process: Process
    process, out = start("tests.peers.stands_still", "3")
    assert process.wait(20) == process.returncode == 3
    assert not Path(f"/proc/{process.pid}").exists()
    os.close(out)


LEFT = """
import os
from tests.peers.warm import Request, nursery

nothing = os.open(os.devnull, os.O_RDWR)
request = Request("tests.peers.stands_still", (), os.environ, os.getcwd())
print(nursery.fork(request, nothing, nothing, nothing).pid)
"""


def test_who_was_left_running_ends_with_the_process_that_runs_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert wait_gone([int(done.stdout)]) == []
