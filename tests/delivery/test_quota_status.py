"""Dovecot's quota-status: what its answers mean, and that it never holds mail up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.delivery.jobs import until
from tests.peers.dovecot import dovecot
from tests.peers.process import free_port

from postern.delivery.quota_status import LIMIT_S, QuotaStatus, question, room_of
from postern.delivery.room import Room
from postern.directory.resolution import Store
from postern.mail.address import Address
from postern.runtime.clock import FakeClock, SystemClock

BOB = Store(Address("bob", "peer.test"), "peer.test/bob")


class Service:
    """Answers every question the same; ``None``: says nothing."""

    def __init__(self, answer: str | None = "OK") -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.lines: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append(writer)
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\n\n"))
                if self.answer is not None:
                    writer.write(f"action={self.answer}\n\n".encode())
        except (OSError, EOFError):
            writer.close()


@asynccontextmanager
async def serving(service: Service, port: int = 0) -> AsyncIterator[str]:
    server = await asyncio.start_server(service.serve, "127.0.0.1", port)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for line in service.lines:
            line.close()
        await server.wait_closed()


async def room(status: QuotaStatus, store: Store = BOB, size: int = 10) -> Room:
    found = status.room(store, size)
    return found if isinstance(found, Room) else await found


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("OK", Room.ENOUGH),
        ("DUNNO", Room.ENOUGH),
        ("552 5.2.2 Mailbox is full", Room.FULL),
        ("554 5.2.2 Quota exceeded (mailbox for user is full)", Room.FULL),
        ("452 4.2.2 later", Room.FULL),
        ("552 full", Room.FULL),
        ("552 5.2.3 larger than your quota", Room.NEVER),
        ("550 5.1.1 nobody", Room.UNKNOWN),
        ("REJECT Unknown user", Room.UNKNOWN),
        ("DEFER_IF_PERMIT Internal error occurred.", Room.UNKNOWN),
        ("", Room.UNKNOWN),
        ("5522 strange", Room.UNKNOWN),
    ],
)
def test_what_an_answer_means(action: str, expected: Room) -> None:
    assert room_of(f"action={action}\n\n".encode()) is expected
    assert room_of(b"\xff\n\n") is Room.UNKNOWN


def test_the_question_has_what_the_service_needs() -> None:
    lines = question("bob@peer.test", 10).decode().split("\n")
    assert {"request=smtpd_access_policy", "recipient=bob@peer.test", "size=10"} <= set(lines)
    assert lines[-2:] == ["", ""]


async def test_one_line_serves_many_questions() -> None:
    service = Service()
    async with serving(service) as endpoint:
        status = QuotaStatus(endpoint, SystemClock())
        assert [await room(status) for _ in range(3)] == [Room.ENOUGH] * 3
        status.close()
    assert len(service.lines) == 1
    assert len(service.asked) == 3


async def test_a_service_that_was_restarted_is_asked_anew() -> None:
    port = free_port()
    status = QuotaStatus(f"127.0.0.1:{port}", SystemClock())
    async with serving(Service(), port):
        assert await room(status) is Room.ENOUGH
    async with serving(Service("552 5.2.2 full"), port):
        assert await room(status) is Room.FULL
        status.close()


async def test_a_service_that_is_away_is_unknown_and_left_in_peace_for_a_while() -> None:
    clock = FakeClock()
    port = free_port()
    status = QuotaStatus(f"127.0.0.1:{port}", clock)
    assert await room(status) is Room.UNKNOWN
    async with serving(Service("552 5.2.2 full"), port):
        assert status.room(BOB, 1) is Room.UNKNOWN  # at once: nobody waits for it
        clock.advance(60)
        assert await room(status) is Room.FULL
        status.close()


async def test_a_service_that_hangs_costs_one_client_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert LIMIT_S <= 2
    monkeypatch.setattr("postern.delivery.quota_status.LIMIT_S", 0.05)
    async with serving(Service(None)) as endpoint:
        status = QuotaStatus(endpoint, SystemClock())
        assert await room(status) is Room.UNKNOWN
        assert status.room(BOB, 1) is Room.UNKNOWN
        status.close()


async def test_a_service_that_talks_without_end_is_unknown() -> None:
    async with serving(Service("OK" * 10_000)) as endpoint:
        status = QuotaStatus(endpoint, SystemClock())
        assert await room(status) is Room.UNKNOWN
        status.close()


async def test_an_answer_too_many_is_not_taken_for_that_about_the_next_recipient() -> None:
    service = Service("OK\n\naction=552 5.2.2 full")
    async with serving(service) as endpoint:
        status = QuotaStatus(endpoint, SystemClock())
        assert await room(status) is Room.ENOUGH
        assert await room(status) is Room.ENOUGH  # on a line of its own
        assert len(service.lines) == 2
        status.close()


async def test_what_a_resting_line_says_unasked_is_not_read() -> None:
    service = Service()
    async with serving(service) as endpoint:
        status = QuotaStatus(endpoint, SystemClock())
        assert await room(status) is Room.ENOUGH
        service.lines[0].write(b"action=552 5.2.2 full\n\n")
        await until(lambda: not status._idle[0].is_usable)
        assert await room(status) is Room.ENOUGH
        assert len(service.lines) == 2
        status.close()


class Breaking(asyncio.Transport):
    """A transport that raises what uvloop's raise; ``is_closing`` admits it or does not."""

    def __init__(self, *, admits: bool) -> None:
        super().__init__()
        self.admits = admits
        self.written = 0

    def is_closing(self) -> bool:
        return self.admits

    def write(self, data: object) -> None:
        self.written += 1
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    def close(self) -> None:
        self.admits = True


@pytest.mark.parametrize("admits", [True, False], ids=["told", "unsaid"])
async def test_a_resting_line_that_broke_is_left_for_a_new_one(*, admits: bool) -> None:
    service = Service()
    async with serving(service) as endpoint:
        status = QuotaStatus(endpoint, SystemClock())
        assert await room(status) is Room.ENOUGH
        (line,) = status._idle
        line._transport = broken = Breaking(admits=admits)
        assert await room(status) is Room.ENOUGH
        assert broken.written == (0 if admits else 1)
        assert len(service.lines) == 2
        assert line not in status._idle
        status.close()


@pytest.mark.peers("dovecot")
@pytest.mark.parametrize("way", ["unix", "tcp"])
async def test_a_real_dovecot_tells_what_fits(way: str) -> None:
    with dovecot(quota="100k") as store:
        endpoint = f"unix:{store.quota_socket}"
        if way == "tcp":
            endpoint = f"127.0.0.1:{store.quota_port}"
        status = QuotaStatus(endpoint, SystemClock())
        assert await room(status, size=1_000) is Room.ENOUGH
        assert await room(status, size=100_001 * 1024) is Room.FULL
        folder = Path(store.folder) / "mail" / "peer.test" / "bob"
        assert store.deliver("bob@peer.test", b"Subject: large\r\n\r\n" + b"x" * 90_000 + b"\r\n")
        assert folder.exists()
        assert await room(status, size=1_000) is Room.ENOUGH
        assert await room(status, size=20_000) is Room.FULL
        status.close()
