"""Programs run once: however they end, they end and are reaped."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postern.runtime.program import OUTPUT_BYTES, Ended, run

MANY = 10
"""Of each kind at a time: what two of them do to each other shows only so."""


async def octets(pieces: int) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b"x" * 65_536


async def shell(script: str, pieces: int = 0) -> Ended:
    return await asyncio.wait_for(run(["/bin/sh", "-c", script], octets(pieces)), 30)


@pytest.mark.parametrize(
    ("script", "pieces", "code"),
    [
        ("exit 3", 0, 3),
        ("exit 3", 40, 3),  # it reads nothing of much
        ("cat > /dev/null; exit 1", 40, 1),
        ("kill -9 $$", 3, -signal.SIGKILL),
        ("yes | head -c 300000; exit 0", 40, 0),
        ("sleep 600 & exit 2", 0, 2),  # a child holds its output open
    ],
    ids=["quick", "deaf", "patient", "killed", "talking", "leaving a child"],
)
async def test_its_end_is_told(script: str, pieces: int, code: int) -> None:
    ended = await asyncio.gather(*(shell(script, pieces) for _ in range(MANY)))
    assert {one.code for one in ended} == {code}
    assert all(len(one.output) <= OUTPUT_BYTES for one in ended)


async def test_all_that_it_started_is_killed_when_nobody_waits_any_more(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/shell; sleep 600"
    asking = asyncio.ensure_future(shell(script, 40))
    names = ("child", "shell")
    async with asyncio.timeout(10):
        while not all(is_written(tmp_path / name) for name in names):  # noqa: ASYNC110 - another process does
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        while any(is_running(tmp_path / name) for name in names):  # noqa: ASYNC110 - init reaps one
            await asyncio.sleep(0.01)


async def test_feed_that_fails_ends_it() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        await asyncio.wait_for(run(["/bin/sh", "-c", "cat; sleep 600"], broken()), 30)


async def test_what_is_not_there_cannot_be_run() -> None:
    with pytest.raises(FileNotFoundError):
        await run(["/nowhere/scan"])


@pytest.mark.parametrize(
    ("text", "mode", "error"),
    [
        ("#!/bin/sh\n", 0o644, PermissionError),
        ("#!/nowhere/interpreter\n", 0o755, FileNotFoundError),
    ],
    ids=["not executable", "no interpreter"],
)
async def test_what_cannot_be_run_is_an_error_and_no_exit_code(
    tmp_path: Path, text: str, mode: int, error: type[OSError]
) -> None:
    program = tmp_path / "scan"
    program.write_text(text)
    program.chmod(mode)
    with pytest.raises(error):
        await run([str(program)])


async def test_exit_codes_that_mean_it_was_not_started_are_its_own_otherwise() -> None:
    assert [(await shell(f"exit {code}")).code for code in (126, 127)] == [126, 127]


def is_written(file: Path) -> bool:
    """Whether the whole line is there: the shell opens the file first."""
    return file.exists() and file.read_text().endswith("\n")


def is_running(file: Path) -> bool:
    try:
        state = Path(f"/proc/{file.read_text().strip()}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] not in "ZX"
