"""Runs a spool and a queue in a process of its own and ends it with SIGKILL at a named step.

``python harness.py FOLDER FAULT``: accepts three messages (one with a large body in a file), writes
each number to ``acknowledged`` when it would be answered 250 (synced), delivers them by appending
to ``delivered`` (synced), journals to ``journaled``. At the step FAULT names it kills itself. With
the fault ``none`` it goes on until all that is in the spool is done, and ends. ``hold-delivery``
accepts all and dies before anything is delivered.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.queue.stage import ScriptedRouter, ScriptedTidings
from tests.spool.mail import message, settings

from postern.delivery.job import JobResult
from postern.journal.record import ChangeRecord, Conversation, HeardRecord
from postern.mail.outcome import Delivered
from postern.mail.reply import reply
from postern.queue.group import Work
from postern.queue.settings import QueueSettings
from postern.queue.worker import QueueWorker
from postern.runtime.clock import SystemClock
from postern.spool import adopt, body
from postern.spool.message import Message
from postern.spool.spool import Spool
from postern.spool.store.file import SpoolFile

LARGE = b"Subject: large\r\n\r\n" + b"x" * 200_000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note(path: Path, number: int) -> None:
    """One line, on disk before anything else happens."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{number}\n".encode())
    os.fsync(handle)
    os.close(handle)


class Courier:
    """Delivers by writing a line."""

    def __init__(self, folder: Path, fault: str) -> None:
        self._folder = folder
        self._fault = fault

    async def attempt(self, work: Work) -> JobResult:
        if self._fault == "before-delivery":
            die()
        if work.message.content.in_memory is None:
            pieces = [piece async for piece in work.message.content.chunks()]
            assert b"".join(pieces) == LARGE
        if self._fault == "hold-delivery":
            await asyncio.Event().wait()
        note(self._folder / "delivered", work.message.id)
        if self._fault == "after-delivery":
            die()
        outcome = Delivered(reply(250, "2.0.0", "ok"))
        return JobResult((outcome,) * len(work.deliveries), ())


class Journal:
    """Keyed by id, as the real one: a batch that comes again changes nothing."""

    def __init__(self, folder: Path, fault: str) -> None:
        self._path = folder / "journaled"
        self._fault = fault

    def append(
        self, conversations: Sequence[Conversation], heard: Sequence[HeardRecord] = ()
    ) -> None:
        if self._fault == "before-journal":
            die()
        for conversation in conversations:
            note(self._path, conversation.id)
        if self._fault == "after-journal":
            die()

    def append_change(self, change: ChangeRecord) -> None:
        raise AssertionError("nobody changes anything here")

    def close(self) -> None:
        pass


def around(owner: object, name: str, fault: str, step: str) -> None:
    """Die before or after ``owner.name`` when the fault says so."""
    if fault not in {f"before-{step}", f"after-{step}"}:
        return
    real: Callable[..., object] = getattr(owner, name)

    def wrapped(*arguments: object, **options: object) -> object:
        if fault == f"before-{step}":
            die()
        result = real(*arguments, **options)
        die()
        return result

    setattr(owner, name, wrapped)


def plant(fault: str) -> None:
    """Put the fault where it belongs."""
    around(body.BodyWriter, "_flush", fault, "body-write")
    around(body.BodyWriter, "_seal", fault, "body-seal")
    around(body, "fsync_directory", fault, "body-folder-sync")
    around(SpoolFile, "insert", fault, "insert")
    around(SpoolFile, "update", fault, "outcome")
    around(SpoolFile, "forget", fault, "forget")
    around(adopt, "_link", fault, "adopt-body")
    around(SpoolFile, "take_rows_of", fault, "adopt-rows")
    around(adopt, "salvage", fault, "salvage")
    around(adopt, "_put_in_place", fault, "mend")
    around(os, "posix_fallocate", fault, "ballast")
    if fault == "between-body-fsync-and-rename":
        die_between_fsync_and_rename()
    if fault == "after-commit":
        real = SpoolFile.insert

        def insert(self: SpoolFile, messages: Sequence[Message]) -> None:
            real(self, messages)
            self._db.execute("COMMIT")
            die()

        SpoolFile.insert = insert  # type: ignore[assignment,method-assign]  # the fault itself


def die_between_fsync_and_rename() -> None:
    sealing: list[bool] = []
    seal, part = body.BodyWriter._seal, body.BodyWriter._part

    def marked(self: body.BodyWriter) -> None:
        sealing.append(True)
        seal(self)

    def dying(self: body.BodyWriter) -> Path:
        if sealing:
            die()
        return part(self)

    body.BodyWriter._seal = marked  # type: ignore[method-assign]  # the fault itself
    body.BodyWriter._part = dying  # type: ignore[method-assign]  # the fault itself


async def accept(spool: Spool, queue: QueueWorker, number: int, data: bytes, folder: Path) -> None:
    writer = spool.body(number)
    for start in range(0, len(data), 50_000):
        writer.write(data[start : start + 50_000])
    made = message(number, f"u{number}@there.test", body=await writer.finish())
    made.expires_at = SystemClock().now() + 86_400
    queue.prepare(made)
    await spool.accept_wait(made)
    note(folder / "acknowledged", number)
    queue.submit(made)


async def emptied(spool: Spool) -> None:
    """Wait until all is delivered, journaled and forgotten."""
    while True:
        left: list[int] = await spool._call(SpoolFile.ids)
        if not left:
            return
        await asyncio.sleep(0.001)


async def live(folder: Path, fault: str, workers: int, *, fresh: bool, worker: int = 0) -> None:
    clock = SystemClock()
    spool = Spool(settings(folder), worker, workers, Journal(folder, fault), clock)
    queue = QueueWorker(
        spool, ScriptedRouter(), Courier(folder, fault), ScriptedTidings(), QueueSettings(), clock
    )
    queue.start(await spool.open())
    if fresh:
        for number in (10 * worker + n for n in range(1, 4)):
            data = LARGE if number % 10 == 1 else b"S: x\r\n\r\n"
            await accept(spool, queue, number, data, folder)
            if fault != "hold-delivery":
                await emptied(spool)  # one at a time: no other is in its window at the kill
        if fault == "hold-delivery":
            die()
    await emptied(spool)
    await spool.close()


def main() -> None:
    folder, fault = Path(sys.argv[1]), sys.argv[2]
    workers, worker = int(sys.argv[3]), int(sys.argv[4])
    plant(fault)
    asyncio.run(live(folder, fault, workers, fresh="fresh" in sys.argv, worker=worker))


if __name__ == "__main__":
    main()
