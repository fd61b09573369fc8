"""What stands in front of every scanner: turns, time, the breaker; and real ones that hang."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest
from tests.peers.scanners import ScannerPeer, clamd, rspamd, spamd
from tests.policy.scanners.asking import Told, specimen

from postern.policy.scanners.breaker import State
from postern.policy.scanners.gate import LATE, Gate, scanner_of
from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Answer, Clean, Specimen, Untold
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.runtime.clock import FakeClock, SystemClock
from postern.spool.body import FileContent

SETTINGS = ScannerSettings("clamd", Kind.CLAMD, Place("/nowhere"), timeout_s=30, failures=2)
FULL = 30.0


def gate(told: Told, clock: FakeClock | None = None, **more: float) -> Gate:
    return Gate(replace(SETTINGS, **more), told, clock or FakeClock())  # type: ignore[arg-type]  # names of its own fields


def untold(answer: Answer) -> Untold:
    assert isinstance(answer, Untold)
    return answer


async def test_so_many_at_a_time_and_so_many_wait() -> None:
    told = Told()
    told.gate.clear()
    door = gate(told, slots=2, queue=3)
    asking = [asyncio.ensure_future(door.ask(specimen(), FULL)) for _ in range(6)]
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = [task for task in asking if task.done()]
    answer = untold(refused.result())
    assert answer.text == "too many messages wait for it: 2 scans run and 3 messages wait"
    assert (door.status.running, door.status.waiting) == (2, 3)
    told.gate.set()
    answers = await asyncio.gather(*asking)
    assert sum(isinstance(one, Clean) for one in answers) == 5
    assert told.most == 2
    assert door.status.counts.scans == {"clean": 5, "couldnt-tell": 1}


async def test_time_limit_names_what_runs_and_waits() -> None:
    told = Told()
    told.gate.clear()
    door = gate(told, timeout_s=0.05, slots=1)
    first, second = await asyncio.gather(door.ask(specimen(), 1), door.ask(specimen(), 1))
    assert untold(first).text.startswith(f"{LATE}: nothing in 0.05 s, ")
    assert untold(second).text.startswith(f"{LATE}: no turn in 0.05 s, ")
    assert (door.status.running, door.status.waiting) == (0, 0)


async def test_breaker_answers_at_once_and_tries_again_with_a_ping() -> None:
    clock, told = FakeClock(), Told(ConnectionRefusedError(errno.ECONNREFUSED, ""))
    door = gate(told, clock)
    for _ in range(2):
        assert (
            "ECONNREFUSED: nobody listens at /nowhere"
            in untold(await door.ask(specimen(), FULL)).text
        )
    assert door.status.state is State.OPEN
    closed = untold(await door.ask(specimen(), FULL))
    assert closed.text.startswith("it does not work at the moment: it could not be reached: ECONN")
    assert told.asked == 2
    clock.advance(10)
    await door.ask(specimen(), FULL)
    assert (told.asked, told.pinged) == (2, 1)  # no message is risked on it
    told.answer = Clean("fine")
    clock.advance(20)
    assert isinstance(await door.ask(specimen(), FULL), Clean)
    assert door.status.state.value == "up"


async def test_what_lies_in_the_message_does_not_speak_against_the_scanner() -> None:
    told = Told(Untold("the message is larger than it takes", is_ailing=False))
    door = gate(told)
    for _ in range(5):
        await door.ask(specimen(), FULL)
    assert told.asked == 5
    assert door.status.state is State.CLOSED


async def test_who_is_in_a_hurry_waits_short_and_is_no_witness() -> None:
    told = Told()
    told.gate.clear()
    door = gate(told)
    for _ in range(3):
        assert untold(await door.ask(specimen(), 0.01)).cause == LATE
    assert door.status.state is State.CLOSED


async def test_probe_that_is_given_up_leaves_the_breaker_to_the_next() -> None:
    clock, told = FakeClock(), Told(ConnectionRefusedError(errno.ECONNREFUSED, ""))
    door = gate(told, clock, failures=1)
    await door.ask(specimen(), FULL)
    told.answer = Clean("fine")
    told.gate.clear()
    clock.advance(10)
    probing = asyncio.ensure_future(door.ask(specimen(), FULL))
    while not told.pinged:  # noqa: ASYNC110 - it is a count
        await asyncio.sleep(0)
    probing.cancel()
    await asyncio.wait([probing])
    assert door.status.state is State.OPEN
    told.gate.set()
    clock.advance(20)
    assert isinstance(await door.ask(specimen(), FULL), Clean)


async def test_message_that_is_too_large_is_not_given_to_it() -> None:
    told = Told()
    answer = untold(await gate(told, max_bytes=10).ask(specimen(), FULL))
    assert answer.cause == "the message is larger than it is given"
    assert told.asked == 0


async def test_bug_of_ours_is_no_clean_message() -> None:
    answer = untold(await gate(Told(ValueError("a bug"))).ask(specimen(), FULL))
    assert answer.text == "an error of our own: ValueError"


async def test_message_that_is_not_there_any_more_does_not_speak_against_the_scanner() -> None:
    class Gone(Told):
        async def scan(self, specimen: Specimen) -> Answer:
            async for _ in specimen.content.chunks():
                pass
            return Clean("fine")

    door = gate(Gone(), failures=1)
    gone = replace(specimen(), content=FileContent(Path("/nowhere/0000000001.part"), 100_000))
    answer = untold(await door.ask(gone, FULL))
    assert answer.cause == "our own disk could not read the message"
    assert door.status.state is State.CLOSED
    assert isinstance(await door.ask(specimen(), FULL), Clean)


async def test_thread_that_cannot_be_had_names_the_limit() -> None:
    told = Told(RuntimeError("can't start new thread"))
    assert "EAGAIN: " in untold(await gate(told).ask(specimen(), FULL)).text
    assert "defunct" in untold(await gate(told).ask(specimen(), FULL)).text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(errno.ENOENT, ""), "ENOENT: there is no /nowhere; does it run?"),
        (PermissionError(errno.EACCES, ""), "EACCES: "),
        (BlockingIOError(errno.EAGAIN, ""), "EAGAIN: the backlog of /nowhere is full"),
        (OSError(errno.EMFILE, ""), " open files (LimitNOFILE=)"),
        (OSError(errno.ENOMEM, ""), "ENOMEM: "),
        (ConnectionResetError(errno.ECONNRESET, ""), "it hung up in the middle"),
        (EOFError(), "it hung up without an answer"),
    ],
)
async def test_each_error_says_what_to_look_at(error: Exception, text: str) -> None:
    assert text in untold(await gate(Told(error)).ask(specimen(), FULL)).text


@pytest.mark.peers("clamd", "rspamd", "spamd")
@pytest.mark.parametrize("make", [clamd, rspamd, spamd], ids=["clamd", "rspamd", "spamd"])
async def test_real_one_that_hangs_and_wakes(make: type, tmp_path: Path) -> None:
    with make() as peer:
        settings = ScannerSettings(
            peer.server.name, Kind(peer.server.name), place_of(peer), timeout_s=0.3, failures=1,
            retry_s=0.05,
        )  # fmt: skip
        door = Gate(settings, scanner_of(settings), SystemClock())
        peer.hang()
        assert untold(await door.ask(specimen(), FULL)).cause == LATE
        assert untold(await door.ask(specimen(), FULL)).cause == "it does not work at the moment"
        peer.wake()
        async with asyncio.timeout(20):
            while not isinstance(await door.ask(specimen(), FULL), Clean):  # noqa: ASYNC110 - it wakes when it likes
                await asyncio.sleep(0.02)
        assert door.status.state is State.CLOSED


def place_of(peer: ScannerPeer) -> Place:
    return Place(str(peer.path)) if peer.path else Place("", "127.0.0.1", peer.port)
