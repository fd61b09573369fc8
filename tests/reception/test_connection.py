"""Bytes, TLS and the clock: what clients do to a connection, and what it costs us."""

import asyncio
import os
import socket
import ssl
from ipaddress import ip_network

import pytest
from tests.peers.certificates import Authority
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener

from postern.reception.settings import Kind, ListenerSettings
from postern.reception.tls import CertificateFiles, Certificates
from postern.runtime.clock import FakeClock
from postern.spool.body import BodyWriter

MESSAGE = b"Subject: tea\r\n\r\nHello\r\n"
V2_LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


def v2(ip: str, port: int = 4711) -> bytes:
    addresses = socket.inet_aton(ip) + socket.inet_aton("127.0.0.1")
    ports = port.to_bytes(2) + (25).to_bytes(2)
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + addresses + ports


# --- limits -----------------------------------------------------------------------------------


async def test_one_connection_too_many_from_an_address_is_told_so(make: Make) -> None:
    async with make(connections_per_address=2) as rig:
        first, _second = await rig.connect(), await rig.connect()
        await first.reply()
        third = await rig.connect()
        said = await third.reply()
        assert said.startswith("421 4.7.0 Not accepted now: too many connections from 127.0.0.1")
        assert await third.ended() == b""
        await rig.wait_until(lambda: rig.reception.counts.open == 2)
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "rate.exceeded"
        assert rig.services.tally.refusals == {"rate.exceeded": 1}
        await first.say("QUIT")
        await rig.wait_until(lambda: rig.reception.counts.open == 1)
        assert (await (await rig.connect()).reply()).startswith("220")


async def test_one_connection_too_many_in_all_is_told_so(make: Make) -> None:
    async with make(connections=1) as rig:
        await (await rig.connect()).reply()
        said = await (await rig.connect()).reply()
        assert said.startswith("421 4.7.0 Not accepted now: this server has too many connections")


async def test_silent_client_is_sent_away_and_the_journal_knows_why(make: Make) -> None:
    clock = FakeClock()
    async with make(clock=clock) as rig:
        client = await rig.connect()
        await client.hello()
        clock.advance(299)
        rig.reception.look_at_clocks()
        assert (await client.say("NOOP")).startswith("250")
        clock.advance(301)
        rig.reception.look_at_clocks()
        assert (await client.reply()).startswith("421 4.4.2 You said nothing for too long")
        assert await client.ended() == b""
        await rig.wait_idle()
        assert rig.told[0].steps[-1].text == "the client said nothing for too long"
        assert rig.told[0].transcript[-1].text.startswith("421 4.4.2")


async def test_slow_sender_ends_with_the_time_of_its_connection(make: Make) -> None:
    clock = FakeClock()
    async with make(clock=clock, session_s=600.0) as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        for _ in range(3):
            clock.advance(250)
            await client.send(b"x")
            await rig.wait_until(lambda: all(_touched(rig)))
            rig.reception.look_at_clocks()
        assert (await client.reply()).startswith("421 4.4.2 This connection has been open for")
        await rig.wait_idle()
        assert rig.accepted == []
        assert rig.told[0].recipients[0].state == "discarded"


def _touched(rig: Rig) -> list[bool]:
    now = rig.clock.monotonic()
    return [
        getattr(one, "_touched", 0.0) == now
        for port in rig.reception._ports
        for one in port.connections
    ]


async def test_client_that_waits_for_us_is_never_idle(make: Make) -> None:
    clock = FakeClock()
    async with make(clock=clock) as rig:
        rig.gate.open.clear()
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>")
        await client.send(b"RCPT TO:<known@gate.example>\r\n")
        await rig.wait_until(lambda: bool(rig.gate.asked))
        clock.advance(100_000)
        rig.reception.look_at_clocks()
        rig.gate.open.set()
        assert (await client.reply()).startswith("250 2.1.5")


# --- floods and half-closed ends --------------------------------------------------------------


async def test_client_that_never_reads_is_not_read_from_either(make: Make) -> None:
    async with make() as rig:
        sock = socket.create_connection(("127.0.0.1", rig.ports[0]))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        sent = 0
        piece = b"HELP\r\n" * 4000
        try:
            while sent < 100_000_000:
                async with asyncio.timeout(1.0):
                    await loop.sock_sendall(sock, piece)
                sent += len(piece)
        except TimeoutError:
            pass
        finally:
            ports = rig.reception._ports
            (connection,) = ports[0].connections
            transport = connection._transport  # type: ignore[attr-defined]  # looked at from inside
            buffered = transport.get_write_buffer_size()
            sock.close()
        assert sent < 50_000_000
        assert buffered < 4_000_000
        await rig.wait_idle()


async def test_body_behind_a_slow_question_waits_outside(make: Make) -> None:
    async with make(max_message_bytes=8 * 1024 * 1024) as rig:
        rig.gate.open.clear()
        client = await rig.connect()
        await client.hello()
        size = 4 * 1024 * 1024
        body = MESSAGE + b"y" * (size - len(MESSAGE) - 2) + b"\r\n"
        client.writer.write(
            b"MAIL FROM:<a@far.example>\r\nRCPT TO:<known@gate.example>\r\n"
            b"BDAT %d LAST\r\n" % size + body
        )
        assert (await client.reply()).startswith("250 2.1.0")
        await rig.wait_until(lambda: bool(rig.gate.asked))
        (connection,) = rig.reception._ports[0].connections
        await rig.wait_until(lambda: not connection._is_reading)  # type: ignore[attr-defined]  # inside
        assert len(connection._early) < 1_000_000  # type: ignore[attr-defined]  # inside
        rig.gate.open.set()
        assert (await client.reply()).startswith("250 2.1.5")
        assert (await client.reply()).startswith("250 2.0.0 Accepted")
        assert rig.accepted[0].content.size_bytes > size


async def test_slow_disk_stops_the_sender_and_loses_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(max_message_bytes=8 * 1024 * 1024) as rig:
        gate = asyncio.Event()
        real = BodyWriter.drained
        waits = 0

        async def drained(body: BodyWriter) -> None:
            nonlocal waits
            waits += 1
            await gate.wait()
            await real(body)

        monkeypatch.setattr(BodyWriter, "drained", drained)
        monkeypatch.setattr("postern.reception.intake.BACKLOG_BYTES", 100_000)
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        client.writer.write(MESSAGE + (b"z" * 998 + b"\r\n") * 5000 + b".\r\n")
        await rig.wait_until(lambda: waits > 0)
        gate.set()
        assert (await client.reply()).startswith("250 2.0.0 Accepted")
        pieces = [piece async for piece in rig.accepted[0].content.chunks()]
        assert b"".join(pieces).endswith(b"Hello\r\n" + (b"z" * 998 + b"\r\n") * 5000)


async def test_half_closed_client_still_gets_every_answer(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.send(
            b"EHLO c\r\nMAIL FROM:<a@far.example>\r\nRCPT TO:<li@harbour.example>\r\nDATA\r\n"
            + MESSAGE
            + b".\r\n"
        )
        client.writer.write_eof()
        said = (await client.ended()).decode()
        assert "\r\n250 2.0.0 Accepted PT-" in said
        assert len(rig.accepted) == 1
        await rig.wait_idle()


async def test_why_the_server_hung_up_reaches_a_client_that_is_still_talking(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        client.writer.write(b"bare\nline\r\n" + b"x" * 3_000_000)
        assert (await client.reply()).startswith("550 5.6.0 A bare LF in the message")
        assert await client.ended() == b""
        await client.close()
        await rig.wait_idle()
        assert rig.told[0].because is not None
        assert rig.told[0].because.check == "standards.bare-lf"
        assert rig.told[0].recipients[0].state == "refused"


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        (bytes(range(256)) * 10, "500"),
        (b"\0" * 100_000, "500 5.5.6"),
        (b"A" * 1_000_000, "500 5.5.6"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(300), "500 5.5.1 TLS"),
        (b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", "500 5.5.1 This is a mail server"),
        (b"EHLO x\nMAIL FROM:<>\n", "500 5.5.2 A bare LF"),
    ],
)
async def test_rubbish_gets_a_clear_answer_and_leaves_no_trace_in_memory(
    make: Make, garbage: bytes, said: str
) -> None:
    async with make() as rig:
        client = await rig.connect()
        assert (await client.reply()).startswith("220")
        client.writer.write(garbage)
        assert (await client.reply()).startswith(said)
        await client.close()
        await rig.wait_idle()
        assert len(rig.told) == 1
        assert rig.accepted == []


# --- TLS --------------------------------------------------------------------------------------


async def test_starttls_and_what_received_says_of_it(make: Make, trusting: ssl.SSLContext) -> None:
    async with make() as rig:
        client = await rig.connect()
        assert "STARTTLS" in await client.hello()
        await client.starttls(trusting)
        assert "STARTTLS" not in await client.say("EHLO again.example")
        await client.deliver(MESSAGE)
        (message,) = rig.accepted
        content = message.content.in_memory
        assert content is not None
        received = content.replace(b"\r\n\t", b" ")
        assert b"from again.example" in received
        assert b"with ESMTPS (TLS1.3 cipher TLS_" in received
        assert message.conversation.tls.startswith("TLS1.3 ")


async def test_words_slipped_in_behind_starttls_are_never_obeyed(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        injected = b"MAIL FROM:<evil@far.example>\r\n" + b"NOOP\r\n" * 20_000
        client.writer.write(b"STARTTLS\r\n" + injected[:30_000])
        assert (await client.reply()).startswith("220")
        async with asyncio.timeout(10):
            await client.writer.start_tls(trusting, server_hostname="mx.harbour.example")
        await client.send(b"RCPT TO:<wang@harbour.example>\r\n")
        assert (await client.reply()).startswith("503 5.5.1 Say EHLO first")


async def test_failed_handshake_is_journaled_and_counted_out(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("STARTTLS")
        await client.send(b"this is no handshake at all, nor will it ever be\r\n" * 10)
        await client.ended()
        await rig.wait_idle()
        (told,) = rig.told
        assert told.because is not None
        assert told.because.check == "tls.failed"
        assert [step.result for step in told.steps if step.step == "starttls"] == ["fail"]


async def test_client_that_leaves_in_the_handshake_is_counted_out(make: Make) -> None:
    async with make(listener(Kind.SUBMISSIONS)) as rig:
        client = await rig.connect()
        await client.send(b"\x16\x03\x01")
        await rig.wait_until(lambda: rig.reception.counts.open == 1)
        await client.close()
        await rig.wait_idle()
        assert len(rig.told) == 1


async def test_submissions_begins_with_tls(make: Make, trusting: ssl.SSLContext) -> None:
    async with make(listener(Kind.SUBMISSIONS)) as rig:
        client = await rig.connect(tls=trusting)
        assert (await client.reply()).startswith("220 mx.harbour.example")
        assert "AUTH PLAIN LOGIN" in await client.say("EHLO c")
        assert (await client.say("QUIT")).startswith("221")
        await rig.wait_idle()


async def test_submissions_without_a_certificate_says_so(make: Make) -> None:
    async with make(listener(Kind.SUBMISSIONS), with_tls=False) as rig:
        client = await rig.connect()
        assert (await client.reply()).startswith("421 4.3.5 This port needs TLS")
        assert await client.ended() == b""
        await rig.wait_idle()


async def test_new_connections_get_the_new_certificate(
    make: Make, authority: Authority, trusting: ssl.SSLContext
) -> None:
    async with make(listener(Kind.SUBMISSIONS)) as rig:
        old = await rig.connect(tls=trusting)
        await old.reply()
        pair = authority.issue("new.example", "mx.harbour.example")
        files = CertificateFiles(pair.cert, pair.key)
        rig.reception.reload(rig.services, Certificates((files,)))
        new = await rig.connect(tls=trusting)
        await new.reply()
        shown = new.writer.get_extra_info("peercert")
        assert ("DNS", "new.example") in shown["subjectAltName"]
        assert (await old.say("NOOP")).startswith("250")


# --- PROXY ------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 10.0.0.1 999 25\r\n", v2("192.0.2.7")])
@pytest.mark.parametrize("bytewise", [False, True])
async def test_client_behind_a_balancer_is_known_by_its_own_address(
    make: Make, header: bytes, *, bytewise: bool
) -> None:
    behind = listener(proxy_protocol=LOOPBACK, relay_from=(ip_network("192.0.2.0/24"),))
    async with make(behind) as rig:
        client = await rig.connect()
        if bytewise:
            for octet in header:
                await client.send(bytes([octet]))
            await client.send(b"EHLO c\r\n")
        else:
            await client.send(header + b"EHLO c\r\n")
        assert (await client.reply()).startswith("220")
        await client.reply()
        await client.deliver(MESSAGE, "a@harbour.example", "anyone@far.example")
        assert rig.accepted[0].conversation.client_ip == "192.0.2.7"


async def test_missing_proxy_header_is_421_after_its_time(make: Make) -> None:
    async with make(listener(proxy_protocol=LOOPBACK), proxy_header_s=0.05) as rig:
        client = await rig.connect()
        assert (await client.reply()).startswith("421 4.7.0 This port expects a PROXY header")
        assert await client.ended() == b""


async def test_something_else_than_a_proxy_header_is_421_at_once(make: Make) -> None:
    async with make(listener(proxy_protocol=LOOPBACK), proxy_header_s=60.0) as rig:
        client = await rig.connect()
        await client.send(b"EHLO c\r\n")
        assert (await client.reply()).startswith("421 4.7.0")


@pytest.mark.parametrize("header", [V2_LOCAL, b"PROXY UNKNOWN\r\n"])
async def test_unnamed_client_behind_a_balancer_may_never_relay(make: Make, header: bytes) -> None:
    both = listener(proxy_protocol=LOOPBACK, relay_from=LOOPBACK)
    async with make(both) as rig:
        client = await rig.connect()
        await client.send(header)
        await client.hello()
        said = await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<b@far.example>")
        assert said.startswith("550 5.7.1")


async def test_handshake_that_came_in_one_piece_with_its_proxy_header(
    make: Make, trusting: ssl.SSLContext
) -> None:
    async with make(listener(Kind.SUBMISSIONS, proxy_protocol=LOOPBACK)) as rig:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting.wrap_bio(incoming, outgoing, server_hostname="mx.harbour.example")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client = await rig.connect()
        await client.send(v2("192.0.2.7") + outgoing.read())
        while True:
            incoming.write(await client.reader.read(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        await client.send(outgoing.read())
        said = b""
        while not said:
            try:
                said = tls.read()
            except ssl.SSLWantReadError:
                incoming.write(await client.reader.read(65536))
        assert said.startswith(b"220 mx.harbour.example")


# --- unix socket, reload, stop ----------------------------------------------------------------


async def test_program_of_this_machine_may_send_to_anyone(make: Make) -> None:
    async with make() as rig:
        path = rig.folder / "s"
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        sock.setblocking(False)
        local = ListenerSettings(Kind.SUBMISSION, f"unix:{path}", is_unix=True)
        await rig.reception.open([(local, sock)])
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(
            b"EHLO here\r\nMAIL FROM:<root@harbour.example>\r\nRCPT TO:<b@far.example>\r\n"
            b"DATA\r\nSubject: x\r\nBcc: c@far.example\r\n\r\nhi\r\n.\r\nQUIT\r\n"
        )
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b"STARTTLS" not in said
        assert b"AUTH" not in said
        (message,) = rig.accepted
        assert message.conversation.kind == "sendmail"
        assert message.conversation.account == f"uid:{os.getuid()}"
        content = message.content.in_memory
        assert content is not None
        assert b"Bcc" not in content
        assert b"Message-ID: <" in content
        assert b"(local)" in content


async def test_programs_of_one_user_count_together(make: Make) -> None:
    async with make(connections_per_address=1) as rig:
        path = rig.folder / "s"
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        sock.setblocking(False)
        local = ListenerSettings(Kind.SUBMISSION, f"unix:{path}", is_unix=True)
        await rig.reception.open([(local, sock)])
        first = Client(*await asyncio.open_unix_connection(path))
        assert (await first.reply()).startswith("220")
        assert rig.reception.counts.open == 1
        second = Client(*await asyncio.open_unix_connection(path))
        turned_away = await second.reply()
        assert turned_away.startswith("421")
        assert f"uid:{os.getuid()}" in turned_away
        await second.close()
        await first.close()
        await rig.wait_idle()
        third = Client(*await asyncio.open_unix_connection(path))
        assert (await third.reply()).startswith("220"), "who left is no longer counted"
        await third.close()


async def test_stop_sends_idle_clients_away_and_waits_for_a_message(make: Make) -> None:
    async with make() as rig:
        idle, busy = await rig.connect(), await rig.connect()
        await idle.hello()
        await busy.hello()
        await busy.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        stopping = asyncio.create_task(rig.reception.stop(10.0))
        assert (await idle.reply()).startswith("421 4.3.2 This server is restarting")
        await busy.send(MESSAGE + b".\r\n")
        assert (await busy.reply()).startswith("250 2.0.0")
        assert (await busy.reply()).startswith("421 4.3.2")
        await stopping
        assert rig.reception.counts.open == 0


async def test_stop_cuts_what_does_not_end_in_time(make: Make) -> None:
    async with make() as rig:
        client = await rig.connect()
        await client.hello()
        await client.say("MAIL FROM:<a@far.example>", "RCPT TO:<li@harbour.example>", "DATA")
        await rig.reception.stop(0.05)
        await client.ended()
        await rig.wait_idle()
        assert rig.accepted == []
