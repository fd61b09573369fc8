"""Bodies: in memory when small, in a file when large, and never half."""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from postern.mail.content import Content
from postern.spool.body import PART, BodyFolder, BodyWriter, FileContent

INLINE = 1000

P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> BodyFolder:
    return BodyFolder(tmp_path / "bodies")


async def octets(content: Content) -> bytes:
    return b"".join([piece async for piece in content.chunks()])


@pytest.mark.parametrize("size", [0, 1, INLINE - 1, INLINE, INLINE + 1, 100_000])
@pytest.mark.parametrize("piece", [7, 999, 65_536])
async def test_what_was_written_is_what_is_read(
    folder: BodyFolder, executor: ThreadPoolExecutor, size: int, piece: int
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    writer = BodyWriter(folder, 1, executor, INLINE)
    for start in range(0, size, piece):
        writer.write(data[start : start + piece])
    content = await writer.finish()
    assert content.size_bytes == size
    assert (content.in_memory is not None) == (size <= INLINE)
    assert await octets(content) == data
    assert await octets(content) == data  # may be asked for again


async def test_backlog_tells_how_much_waits_for_the_disk_and_falls_to_nothing(
    folder: BodyFolder, executor: ThreadPoolExecutor
) -> None:
    writer = BodyWriter(folder, 1, executor, INLINE)
    writer.write(b"x" * 500)
    assert writer.backlog_bytes == 0
    for _ in range(10):
        writer.write(b"x" * 100_000)
    assert writer.backlog_bytes > 0
    await writer.drained()
    await asyncio.sleep(0)
    assert writer.backlog_bytes == 0
    await writer.abandon()


@pytest.mark.parametrize("is_finished", [True, False])
async def test_abandoned_bodies_leave_no_file(
    folder: BodyFolder, executor: ThreadPoolExecutor, *, is_finished: bool
) -> None:
    writer = BodyWriter(folder, 1, executor, INLINE)
    writer.write(b"x" * 50_000)
    if is_finished:
        await writer.finish()
        assert folder.path_of(1).exists()
    await writer.abandon()
    assert list(folder.folder.iterdir()) == []


async def test_a_small_body_touches_no_disk(
    folder: BodyFolder, executor: ThreadPoolExecutor
) -> None:
    writer = BodyWriter(folder, 1, executor, INLINE)
    writer.write(b"x" * INLINE)
    await writer.finish()
    await writer.abandon()
    assert list(folder.folder.iterdir()) == []


def test_a_missing_or_short_file_is_not_whole(tmp_path: Path) -> None:
    assert not FileContent(tmp_path / "gone", 5).is_whole()
    (tmp_path / "short").write_bytes(b"1234")
    assert not FileContent(tmp_path / "short", 5).is_whole()
    assert FileContent(tmp_path / "short", 4).is_whole()


class OneByOne(Executor):
    """Runs what it was given when told to, so that a test decides what meets what."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self.waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def run_next(self) -> None:
        self.waiting.pop(0)()


async def test_pieces_that_come_while_a_flush_ends_keep_their_order(folder: BodyFolder) -> None:
    executor = OneByOne()
    writer = BodyWriter(folder, 1, executor, 0)
    writer.write(b"1")
    executor.run_next()
    # The loop will learn of the end in its next round; these come in the same one.
    loop = asyncio.get_running_loop()
    loop.call_soon(writer.write, b"2")
    loop.call_soon(writer.write, b"3")
    for _ in range(4):
        await asyncio.sleep(0)
    assert len(executor.waiting) == 1, "two threads would write to one file"
    executor.run_next()
    finishing = asyncio.ensure_future(writer.finish())
    for _ in range(8):
        await asyncio.sleep(0)
        if executor.waiting:
            executor.run_next()
    assert await octets(await finishing) == b"123"


async def test_body_that_is_not_whole_on_disk_is_never_promised(
    folder: BodyFolder, executor: ThreadPoolExecutor
) -> None:
    writer = BodyWriter(folder, 1, executor, INLINE)
    writer.write(b"x" * 5000)
    await writer.drained()
    os.truncate(folder.path_of(1).with_name(folder.path_of(1).name + PART), 4000)
    with pytest.raises(OSError, match="4000 of 5000"):
        await writer.finish()
    assert not list(folder.folder.iterdir())


@pytest.mark.parametrize("size", [INLINE, 100_000])
async def test_it_can_be_read_before_it_is_durable_and_is_gone_when_it_is_abandoned(
    folder: BodyFolder, executor: ThreadPoolExecutor, size: int
) -> None:
    writer = BodyWriter(folder, 7, executor, INLINE)
    data = os.urandom(size)
    for start in range(0, size, 999):
        writer.write(data[start : start + 999])
    content = await writer.content()
    assert content.size_bytes == size
    assert await octets(content) == data
    assert await octets(content) == data
    assert not folder.path_of(7).exists()
    await writer.abandon()
    assert list(folder.folder.iterdir()) == []
