"""Bodies: in memory when small, in a file when large, and never half."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postern.mail.content import Content
from postern.spool.body import BodyFolder, BodyWriter, FileContent

INLINE = 1000


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
