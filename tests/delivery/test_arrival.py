"""A message that rides behind its envelope, on lines that end: who may have it, and who may not."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from tests.delivery.jobs import job, settings, until
from tests.delivery.scripted import OFFERED, Act, Script, peer
from tests.delivery.test_race import dead, deferral, direct, fallback, is_delivered, stage
from tests.peers.certificates import self_signed

from postern.delivery.arrival import unacknowledged
from postern.delivery.smtp_connection import SmtpConnection
from postern.mail.address import Address
from postern.mail.content import BytesContent
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause
from postern.mail.paths import Sign
from postern.mail.route import Target
from postern.mail.smtp.client import ClientMachine
from postern.mail.smtp.client_mail import Mail
from postern.mail.smtp.client_opening import ClientConfig
from postern.runtime.clock import FakeClock

CHUNKING = (*OFFERED, "CHUNKING")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    pair = self_signed(tmp_path_factory.mktemp("self"), "peer.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET])
@pytest.mark.parametrize("way", ["clear", "tls"])
async def test_host_that_read_it_all_and_hung_up_may_have_it_and_no_other_host_gets_it(
    tls: ssl.SSLContext, act: Act, way: str
) -> None:
    answers: dict[str, str | Act] = {"MAIL": Act.IGNORE, "RCPT": Act.IGNORE, "BDAT": act}
    script = Script(offered=CHUNKING, answers=answers, tls=tls if way == "tls" else None)
    async with peer(script) as first, peer() as second, stage() as on:
        result = await on.begin(*direct(first.target, second.target))
        assert deferral(result).cause is Cause.LOST_AFTER_DOT
        assert [sign for sign, _ in on.watch.signs()] == [Sign.ANSWERED, Sign.BROKEN_OFF]
    assert len(first.messages) == 1
    assert second.connections == 0


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET])
@pytest.mark.parametrize("way", ["clear", "tls"])
async def test_it_is_the_same_on_a_line_that_rested(
    tls: ssl.SSLContext, act: Act, way: str
) -> None:
    script = Script(offered=CHUNKING, tls=tls if way == "tls" else None)
    async with peer(script) as first, stage() as on:
        assert is_delivered(await on.begin(*direct(first.target)))
        script.answers = {"MAIL": Act.IGNORE, "RCPT": Act.IGNORE, "BDAT": act}
        result = await on.begin(*direct(first.target))
        assert deferral(result).cause is Cause.LOST_AFTER_DOT
    assert (first.connections, len(first.messages)) == (1, 2)


@dataclass
class Wire:
    """A server's end of a line, driven by hand: the last words and the end are one packet."""

    line: socket.socket
    secure: ssl.SSLObject | None = None
    incoming: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    outgoing: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.secure = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        while True:
            try:
                self.secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.line.recv(65536))
        self.flush()

    def flush(self, flags: int = 0) -> None:
        if octets := self.outgoing.read():
            self.line.send(octets, flags)

    def say(self, text: str, flags: int = 0) -> None:
        if self.secure is None:
            self.line.send(text.encode() + b"\r\n", flags)
            return
        self.secure.write(text.encode() + b"\r\n")
        self.flush(flags)

    def hear(self) -> bytes:
        while True:
            if self.secure is None:
                return self.line.recv(65536)
            with suppress(ssl.SSLWantReadError):
                return bytes(self.secure.read(65536))
            octets = self.line.recv(65536)
            if not octets:
                return b""
            self.incoming.write(octets)

    def end(self, *, says_goodbye: bool = False) -> None:
        if self.secure is not None and says_goodbye:
            with suppress(ssl.SSLError):
                self.secure.unwrap()
            self.flush(socket.MSG_MORE)
        self.line.close()


@contextmanager
def hasty(tls: ssl.SSLContext | None, *, says_goodbye: bool) -> Iterator[Target]:
    """Answers EHLO and hangs up with the same packet: what comes then crosses its end."""
    offered = "250-peer.test\r\n250-PIPELINING\r\n250 CHUNKING"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                wire = Wire(listening.accept()[0])
                wire.say("220 peer.test ESMTP")
                wire.hear()
                if tls is not None:
                    wire.say("250-peer.test\r\n250 STARTTLS")
                    wire.hear()
                    wire.say("220 go")
                    wire.start_tls(tls)
                    wire.hear()
                wire.say(offered, socket.MSG_MORE)
                wire.end(says_goodbye=says_goodbye)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield Target("peer.test", "127.0.0.1", listening.getsockname()[1])
        serving.join(10)


@pytest.mark.parametrize("way", ["clear", "tls", "tls with an alert"])
async def test_message_that_crossed_the_end_of_the_line_goes_to_the_next_host(
    tls: ssl.SSLContext, way: str
) -> None:
    context = None if way == "clear" else tls
    with hasty(context, says_goodbye="alert" in way) as first:
        async with peer() as second, stage() as on:
            result = await on.begin(*direct(first, second.target))
            assert is_delivered(result)
            assert on.watch.signs(first)[-1] == (Sign.BROKEN_OFF, True)
    assert len(second.messages) == 1


@pytest.mark.parametrize("end", ["closed", "reset", "421"])
@pytest.mark.parametrize("size", [20, 50_000])
async def test_line_that_ended_at_rest_unnoticed_is_replaced_without_a_word(
    end: str, size: int
) -> None:
    """Neither a record nor a wait: the loop has not come to see it yet, but the kernel knows."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        target = Target("peer.test", "127.0.0.1", listening.getsockname()[1])
        wires: list[Wire] = []

        def serve(count: int) -> None:
            for _ in range(count):
                wire = Wire(listening.accept()[0])
                wire.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wires.append(wire)
                wire.say("220 peer.test ESMTP")
                wire.hear()
                wire.say("250-peer.test\r\n250-PIPELINING\r\n250 CHUNKING")
                heard = b""
                while b"BDAT" not in heard or len(heard) < size:
                    heard += wire.hear()
                wire.say("250 ok\r\n250 ok\r\n250 taken")

        serving = threading.Thread(target=serve, args=(2,), daemon=True)
        serving.start()
        mail = job(content=BytesContent(b"Subject: x\r\n\r\n" + b"y" * size))
        async with stage() as on:
            assert is_delivered(await on.smtp.deliver(direct(target), mail))
            if end == "reset":
                linger = struct.pack("ii", 1, 0)
                wires[0].line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            if end == "421":
                wires[0].say("421 4.4.2 idle")
            else:
                wires[0].end()
            result = await on.smtp.deliver(direct(target), mail)
            assert is_delivered(result)
            assert [record.outcome for record in result.attempts] == ["delivered"]
            assert on.watch.signs() == [(Sign.ANSWERED, True)] * 2
            for wire in wires:
                wire.line.close()
        serving.join(10)


@pytest.mark.parametrize(
    "said",
    [
        "421 4.7.0 [TSS04] Messages from you temporarily deferred",
        "421 4.7.0 too many messages in this session",
        "421 4.3.2 too many messages, closing connection",
    ],
)
async def test_421_that_answers_mail_on_a_rested_line_is_heeded(said: str) -> None:
    script = Script()
    async with peer(script) as first, peer() as relay, stage() as on:
        ways = (*direct(first.target), fallback(relay.target))
        assert is_delivered(await on.begin(*ways))
        script.once["MAIL"] = said
        result = await on.begin(*ways)
        assert str(deferral(result).reply) == said
        assert [record.reply for record in result.attempts] == [said]
        assert on.watch.signs()[-1] == (Sign.THROTTLED, True)
    assert (first.connections, relay.connections) == (1, 0)


async def test_after_such_a_421_other_addresses_are_asked_and_no_other_egress() -> None:
    script = Script()
    async with peer(script) as first, peer() as second, peer() as relay, stage() as on:
        ways = (*direct(first.target, second.target), fallback(relay.target))
        assert is_delivered(await on.begin(*ways))
        script.once["MAIL"] = "421 4.7.0 slow down"
        assert is_delivered(await on.begin(*ways))
        assert (first.connections, second.connections) == (1, 1)
    assert relay.connections == 0


async def test_after_such_a_421_the_networks_failure_elsewhere_leads_to_no_relay() -> None:
    script = Script()
    async with peer(script) as first, peer() as relay, stage() as on:
        assert is_delivered(await on.begin(*direct(first.target)))
        script.once["MAIL"] = "421 4.7.0 slow down"
        ways = (*direct(first.target, dead()), fallback(relay.target))
        assert deferral(await on.begin(*ways)).reply.code == 421
    assert relay.connections == 0


class Unsent(asyncio.Transport):
    """Takes octets, and not one of them has left."""

    def __init__(self) -> None:
        super().__init__()
        self.octets = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.octets += data

    def get_write_buffer_size(self) -> int:
        return len(self.octets)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.mark.parametrize("mail_is", ["on its way", "there"])
async def test_421_that_crosses_mail_was_said_at_rest(mail_is: str) -> None:
    line = Unsent()
    machine = ClientMachine(ClientConfig(helo="us.test", remote="peer.test"))
    connection = SmtpConnection(machine, "peer.test", settings(), FakeClock())
    connection.connection_made(line)
    connection.data_received(b"220 peer.test\r\n")
    connection.data_received(b"250 peer.test\r\n")
    connection.rest(10.0)
    line.octets = b""
    recipient = Recipient(Address("bob", "peer.test"))
    mail = Mail(Sender(None), (recipient,), 3, b"x\r\n")
    sending = asyncio.ensure_future(connection.send(mail, BytesContent(b"x\r\n")))
    await asyncio.sleep(0)
    if mail_is == "there":
        line.octets = b""
    connection.data_received(b"421 4.4.2 idle\r\n")
    await sending
    assert connection.was_stale is (mail_is == "on its way")


async def test_what_a_machine_has_not_taken_in_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        port = listening.getsockname()[1]
        line, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        taken, _ = listening.accept()
        line.write(b"x" * 1_000_000)
        await until(lambda: unacknowledged(line) < 1_000_000)
        assert unacknowledged(line) > 0
        line.abort()
        taken.close()
