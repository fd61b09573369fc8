"""Taking over other spools, and going on after damage."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.spool.mail import MemoryJournal, message, spool_of, until, waiting

from postern.spool.body import FileContent
from postern.spool.message import DeliveryState
from postern.spool.spool import Spool
from postern.spool.store.file import SpoolFile
from postern.spool.store.trouble import NewerSpoolError

LARGE = b"Subject: large\r\n\r\n" + b"x" * 200_000
STATES = [DeliveryState.FRESH, DeliveryState.WAITING, DeliveryState.HELD]


async def accept_large(spool: Spool, number: int) -> None:
    writer = spool.body(number)
    writer.write(LARGE)
    await spool.accept_wait(message(number, body=await writer.finish()))


async def numbers(spool: Spool) -> list[int]:
    return sorted(m.id for m in await spool.find(STATES))


async def test_two_workers_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    for worker in (0, 1):
        spool = spool_of(tmp_path, worker=worker, workers=2)
        await spool.open()
        await spool.accept_wait(message(10 * worker + 1))
        await spool.accept_wait(waiting(10 * worker + 2, 2e9))
        await accept_large(spool, 10 * worker + 3)
        await spool.close()
    spool = spool_of(tmp_path)
    groups = {line.group: line.count for line in await spool.open()}
    assert groups == {"": 4, "here.test": 2}
    assert await numbers(spool) == [1, 2, 3, 11, 12, 13]
    large = await spool.load(13)
    assert large is not None
    assert b"".join([piece async for piece in large.content.chunks()]) == LARGE
    assert not (tmp_path / "spool" / "1.db").exists()
    assert not (tmp_path / "spool" / "1").exists()
    await spool.close()


async def test_adopting_twice_changes_nothing(tmp_path: Path) -> None:
    other = spool_of(tmp_path, worker=1, workers=2)
    await other.open()
    await other.accept_wait(message(11))
    await other.close()
    copy = (tmp_path / "spool" / "1.db").read_bytes()
    for _ in range(2):
        spool = spool_of(tmp_path)
        await spool.open()
        assert await numbers(spool) == [11]
        await spool.close()
        # As a crash before the old file was gone would leave it.
        (tmp_path / "spool" / "1.db").write_bytes(copy)


async def test_a_damaged_orphan_does_not_keep_the_worker_from_starting(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await spool.accept_wait(message(1))
    await spool.close()
    (tmp_path / "spool" / "1.db").write_bytes(b"this is no database at all" * 500)
    spool = spool_of(tmp_path)
    await spool.open()
    assert await numbers(spool) == [1]
    assert list((tmp_path / "corrupt").glob("1-*.db"))
    await spool.close()


async def test_a_file_of_a_newer_postern_is_left_exactly_as_it_is(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await spool.close()
    path = tmp_path / "spool" / "0.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    again = spool_of(tmp_path)
    with pytest.raises(NewerSpoolError):
        await again.open()
    await again.close()
    assert path.exists()
    assert not (tmp_path / "corrupt").exists()


async def test_a_file_that_is_no_database_is_set_aside_and_mail_goes_on(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await spool.accept_wait(message(1))
    await spool.close()
    path = tmp_path / "spool" / "0.db"
    path.write_bytes(b"rubbish" * 4096)
    spool = spool_of(tmp_path)
    assert await spool.open() == []
    await spool.accept_wait(message(2))
    assert await numbers(spool) == [2]
    (aside,) = (tmp_path / "corrupt").glob("0-*.db")
    assert aside.read_bytes().startswith(b"rubbish")
    await spool.close()


def damage_bodies(path: Path, *, keep: int) -> None:
    """Overwrite the pages with messages marked in their body, but for the first ``keep``."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    data = bytearray(path.read_bytes())
    pages = [at for at in range(size, len(data), size) if b"MARK" in data[at : at + size]]
    assert len(pages) > keep
    for at in pages[keep:]:
        data[at : at + 200] = b"\xff" * 200
    path.write_bytes(bytes(data))


async def test_damage_met_while_running_is_mended_without_a_restart(tmp_path: Path) -> None:
    journal = MemoryJournal()
    spool = spool_of(tmp_path, journal)
    await spool.open()
    body = b"Subject: MARK\r\n\r\n" + b"MARK" * 200
    await asyncio.gather(*(spool.accept_wait(message(n, body=body)) for n in range(100)))
    await spool.close()
    damage_bodies(tmp_path / "spool" / "0.db", keep=5)
    spool = spool_of(tmp_path, journal)
    await spool.open()
    found = await spool.claim("", 200, ())
    assert 0 < len(found.loaded) < 100
    assert {m.id for m in found.loaded} == {number for number, _ in found.due}
    await spool.accept_wait(message(1000))
    assert spool.is_writable
    assert list((tmp_path / "corrupt").glob("0-*.db"))
    await spool.close()


async def test_a_damaged_row_is_set_aside_whole_and_the_others_go_on(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    for number in (1, 2, 3):
        await spool.accept_wait(message(number, body=b"Subject: %d\r\n\r\nx\r\n" % number))
    await spool.close()
    with sqlite3.connect(tmp_path / "spool" / "0.db") as db:
        db.execute("UPDATE message SET envelope = x'00ff' WHERE id = 2")
    db.close()
    spool = spool_of(tmp_path)
    await spool.open()
    claim = await spool.claim("", 10, ())
    assert [m.id for m in claim.loaded] == [1, 3]
    assert (tmp_path / "corrupt" / "0000000002.eml").read_bytes() == b"Subject: 2\r\n\r\nx\r\n"
    assert (tmp_path / "corrupt" / "0000000002.msgpack").exists()
    assert (await spool.claim("", 10, ())).due == [(1, 0), (3, 0)]
    await spool.close()


@pytest.mark.parametrize("sql", ["DELETE FROM message", "DELETE FROM delivery WHERE n = 0"])
async def test_a_message_with_rows_missing_is_set_aside(tmp_path: Path, sql: str) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await spool.accept_wait(message(1, "a@here.test", "b@here.test"))
    await spool.close()
    with sqlite3.connect(tmp_path / "spool" / "0.db") as db:
        db.execute(sql)
    db.close()
    spool = spool_of(tmp_path)
    await spool.open()
    assert (await spool.claim("", 10, ())).loaded == []
    assert (await spool.claim("", 10, ())).due == []
    assert (tmp_path / "corrupt" / "0000000001.msgpack").exists()
    await spool.close()


async def test_a_body_that_is_cut_short_is_damage_and_one_the_disk_hides_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await accept_large(spool, 1)
    await accept_large(spool, 2)

    def hidden(self: FileContent) -> bool:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(FileContent, "is_whole", hidden)
        with pytest.raises(OSError, match="Input/output"):
            await spool.load(1)
    assert not (tmp_path / "corrupt").exists()
    (tmp_path / "spool" / "0" / "0000000002").write_bytes(b"short")
    assert await spool.load(2) is None
    assert (tmp_path / "corrupt" / "0000000002.eml").read_bytes() == b"short"
    assert await spool.load(1) is not None
    await spool.close()


async def test_leftovers_of_a_crash_are_swept_and_promised_bodies_stay(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    await accept_large(spool, 1)
    await spool.close()
    folder = tmp_path / "spool" / "0"
    (folder / "0000000005.part").write_bytes(b"half")
    (folder / "0000000006").write_bytes(b"sealed, never promised")
    spool = spool_of(tmp_path)
    await spool.open()
    assert [path.name for path in folder.iterdir()] == ["0000000001"]
    await spool.close()


async def test_a_restart_with_many_waiting_reads_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(tmp_path)
    await spool.open()
    rows = [waiting(n, 2e9, f"g{n % 7}") for n in range(5000)]
    await asyncio.gather(*(spool.accept_wait(row) for row in rows))
    await spool.close()
    loads = 0
    real = SpoolFile.load

    def load(self: SpoolFile, number: int) -> object:
        nonlocal loads
        loads += 1
        return real(self, number)

    monkeypatch.setattr(SpoolFile, "load", load)
    spool = spool_of(tmp_path)
    groups = await spool.open()
    assert sum(line.count for line in groups) == 5000
    assert len(groups) == 7
    assert loads == 0
    await spool.close()


async def test_finished_mail_that_the_journal_missed_is_offered_again(tmp_path: Path) -> None:
    journal = MemoryJournal()
    spool = spool_of(tmp_path, journal)
    await spool.open()
    journal.fail()
    made = [message(n) for n in range(300)]
    await asyncio.gather(*(spool.accept_wait(m) for m in made))
    for m in made:
        m.deliveries[0].state, m.deliveries[0].end = DeliveryState.DONE, "delivered"
        spool.record(m, m.deliveries)
    await spool.close()
    assert journal.kept == {}
    journal.trouble = None
    spool = spool_of(tmp_path, journal)
    await spool.open()
    await until(lambda: len(journal.kept) == 300)
    await spool.close()
    with sqlite3.connect(tmp_path / "spool" / "0.db") as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)
    db.close()
