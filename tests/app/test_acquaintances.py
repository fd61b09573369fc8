"""What a worker learns of whom its users write to: written each second, and no file stops it."""

import asyncio
from pathlib import Path

import pytest

from postern.app import acquaintances as module
from postern.app.acquaintances import Acquaintances
from postern.directory.store.correspondents import FILE_NAME
from postern.mail.address import Address
from postern.runtime.clock import FakeClock
from postern.runtime.database.trouble import DatabaseTroubleError

CHEN = Address("chen", "tea.example")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_S", 0.001)
    monkeypatch.setattr(module, "TROUBLE_S", 0.001)


async def until_known(known: Acquaintances) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                if known.store.knows("m", CHEN):
                    return
            except DatabaseTroubleError:
                pass
            await asyncio.sleep(0.001)


async def test_what_is_noted_is_soon_on_file(tmp_path: Path) -> None:
    known = Acquaintances(tmp_path, FakeClock(), sweeps=True)
    writing = asyncio.ensure_future(known.keep_writing())
    known.notebook.wrote("m", CHEN, 1_000_000_000.0)
    await until_known(known)
    writing.cancel()
    await known.close()


async def test_the_last_notes_are_written_at_the_end(tmp_path: Path) -> None:
    known = Acquaintances(tmp_path, FakeClock(), sweeps=False)
    known.notebook.wrote("m", CHEN, 1.0)
    await known.close()
    again = Acquaintances(tmp_path, FakeClock(), sweeps=False)
    assert again.store.knows("m", CHEN)
    await again.close()


async def test_a_damaged_file_stops_nobody_and_is_used_once_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"no database" * 1000)
    known = Acquaintances(tmp_path, FakeClock(), sweeps=False)
    with pytest.raises(DatabaseTroubleError):
        known.store.knows("m", CHEN)
    known.notebook.wrote("m", CHEN, 1.0)
    writing = asyncio.ensure_future(known.keep_writing())
    path.unlink()
    await until_known(known)
    writing.cancel()
    await known.close()
