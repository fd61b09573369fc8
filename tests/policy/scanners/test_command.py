"""An operator's own scanner: real programs, on the loop that workers run on."""

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.policy.scanners.asking import PLAIN, LongContent, body, enveloped, specimen

from postern.policy.scanners.command import Command, sweep
from postern.policy.scanners.scan import Answer, Caught, Clean, Specimen, Untold

CODES = (frozenset({0}), frozenset({1}))
MIB = 1024 * 1024


def command(tmp_path: Path, script: str, *more: str) -> Command:
    return Command([sys.executable, "-I", "-S", "-c", script, *more], *CODES, tmp_path / "copies")


async def scan(scanner: Command, shown: Specimen | None = None) -> Answer:
    return await asyncio.wait_for(scanner.scan(shown or specimen()), 30)


async def test_exit_codes_say_what_it_is_and_the_first_line_why(tmp_path: Path) -> None:
    find = "import sys; sys.exit('bad' in sys.stdin.read() and (print('so bad'), 1)[1])"
    assert isinstance(await scan(command(tmp_path, find)), Clean)
    caught = await scan(command(tmp_path, find), body(b"bad"))
    assert isinstance(caught, Caught)
    assert caught.text.endswith(": so bad")
    untold = await scan(command(tmp_path, "import sys; print('no licence'); sys.exit(2)"))
    assert isinstance(untold, Untold)
    assert untold.detail == "ended with exit status 2, saying 'no licence'"
    assert not untold.is_ailing
    killed = await scan(command(tmp_path, "import os; os.kill(os.getpid(), 9)"))
    assert isinstance(killed, Untold)
    assert killed.is_ailing


async def test_file_is_a_copy_that_is_gone_afterwards(tmp_path: Path) -> None:
    script = "import sys; t = open(sys.argv[1], 'ab+'); t.seek(0); sys.exit(b'Hello' in t.read())"
    assert isinstance(await scan(command(tmp_path, script, "{file}")), Caught)
    copies = tmp_path / "copies"
    assert left_in(copies) == 0
    (copies / "scan-left").write_bytes(b"by a crash")
    sweep(copies)
    assert left_in(copies) == 0


async def test_given_up_while_its_copy_is_being_opened_leaves_no_descriptor_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkstemp, is_there, may_go_on = tempfile.mkstemp, threading.Event(), threading.Event()
    handles = []

    def slow(**more: Any) -> tuple[int, str]:
        is_there.set()
        assert may_go_on.wait(30)
        handle, path = mkstemp(**more)
        handles.append(os.fstat(handle))
        return handle, path

    monkeypatch.setattr(tempfile, "mkstemp", slow)
    await give_up_at(command(tmp_path, "", "{file}"), is_there, may_go_on)
    (opened,) = handles
    assert (opened.st_dev, opened.st_ino) not in open_files()
    assert left_in(tmp_path / "copies") == 0


async def test_given_up_while_its_copy_is_being_written_closes_it_only_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the octets would go to whoever got the same descriptor meanwhile."""
    write, is_there, may_go_on = os.write, threading.Event(), threading.Event()
    written = []

    def slow(handle: int, data: bytes) -> int:
        before = os.fstat(handle)
        is_there.set()
        assert may_go_on.wait(30)
        after = os.fstat(handle)
        assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)
        written.append(after)
        return write(handle, data)

    monkeypatch.setattr(os, "write", slow)
    await give_up_at(command(tmp_path, "", "{file}"), is_there, may_go_on)
    (file,) = written
    assert (file.st_dev, file.st_ino) not in open_files()
    assert left_in(tmp_path / "copies") == 0


async def test_environment_is_bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    script = "import os, sys; sys.exit('SECRET_OF_OURS' in os.environ)"
    assert isinstance(await scan(command(tmp_path, script)), Clean)
    script = "import os, sys; sys.exit(os.environ['POSTERN_TRACE'] == 'PT-7Q2M-K4XD')"
    assert isinstance(await scan(command(tmp_path, script)), Caught)


async def test_program_that_reads_nothing_and_talks_on_is_understood(
    tmp_path: Path,
) -> None:
    script = "import sys; [print('x' * 1000) for _ in range(10_000)]; sys.exit(0)"
    long = enveloped(LongContent(PLAIN, 8 * MIB))
    assert isinstance(await scan(command(tmp_path, script), long), Clean)


async def test_time_is_over_and_the_whole_group_is_gone_and_reaped(tmp_path: Path) -> None:
    """It starts a child of its own that would stay behind."""
    script = (
        "import os, sys, time\n"
        "pid = os.fork()\n"
        f"open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w').close()\n"
        "time.sleep(600)\n"
    )

    asking = asyncio.ensure_future(command(tmp_path, script).scan(specimen()))
    async with asyncio.timeout(10):
        while len(started(tmp_path)) < 2:  # noqa: ASYNC110 - another process makes them
            await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not set(children()) & started(tmp_path)
    async with asyncio.timeout(10):
        while any(map(is_running, started(tmp_path))):  # noqa: ASYNC110 - somebody else reaps it
            await asyncio.sleep(0.01)


async def test_child_that_holds_its_output_open_is_not_awaited(tmp_path: Path) -> None:
    script = "import os, time\nif os.fork() == 0:\n    time.sleep(600)\nos._exit(1)\n"
    assert isinstance(await scan(command(tmp_path, script)), Caught)


async def test_ping_looks_for_the_program(tmp_path: Path) -> None:
    assert await command(tmp_path, "").ping() is None
    gone = await Command(["/nowhere/scan"], *CODES, tmp_path).ping()
    assert gone is not None
    with pytest.raises(FileNotFoundError):
        await Command(["/nowhere/scan"], *CODES, tmp_path).scan(specimen())


async def give_up_at(
    scanner: Command, is_there: threading.Event, may_go_on: threading.Event
) -> None:
    """Scan, give it up while a thread is at work for it, and only then let that go on."""
    asking = asyncio.ensure_future(scanner.scan(specimen()))
    async with asyncio.timeout(10):
        while not is_there.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.001)
    for _ in range(2):  # as a time limit does, and then the message's end
        asking.cancel()
        await asyncio.wait([asking], timeout=0.02)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 10)


def open_files() -> set[tuple[int, int]]:
    """Device and inode of all that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - its own descriptor is among them
        with suppress(OSError):
            stat = os.fstat(int(name))
            found.add((stat.st_dev, stat.st_ino))
    return found


def left_in(folder: Path) -> int:
    return len(list(folder.iterdir()))


def started(folder: Path) -> set[int]:
    """The processes that left a file of their number."""
    return {int(path.name) for path in folder.iterdir() if path.name.isdigit()}


def children() -> Iterator[int]:
    for line in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        yield int(line)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
