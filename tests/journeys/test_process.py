"""The process tree: reload, stop, a second start, a worker that is killed."""

import contextlib
import os
import signal
import smtplib
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from tests.journeys.clients import lines
from tests.journeys.told import code_in, wait_state
from tests.peers.certificates import Authority, KeyPair
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.process import answers, wait_until
from tests.peers.proctree import wait_gone

EX_TEMPFAIL = 75
EX_NOT_RUNNING = 69


def serial_of(port: int) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.starttls(context=context)
        assert isinstance(client.sock, ssl.SSLSocket)
        shown = client.sock.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def serial_in(pair: KeyPair) -> int:
    return x509.load_pem_x509_certificate(pair.cert.read_bytes()).serial_number


def with_mailbox(server: PosternServer) -> PosternServer:
    server.domain_add("here.test")
    server.mailbox_add("bob@here.test")
    return server


def test_a_new_certificate_is_shown_after_sighup_and_old_connections_go_on(
    authority: Authority,
) -> None:
    pair = authority.issue("mx.postern.test")
    with postern(PosternSettings(certificate=pair)) as server:
        with_mailbox(server)
        old = serial_in(pair)
        assert serial_of(server.port()) == old
        with lines(server.port()) as talk:
            talk.say_all("EHLO client.test", "MAIL FROM:<li@far.test>")
            authority.issue("mx.postern.test")  # to the same files
            assert serial_in(pair) != old
            server.reload()
            wait_until(lambda: serial_of(server.port()) == serial_in(pair), "the new certificate")
            talk.say_all("RCPT TO:<bob@here.test>", "DATA")
            assert talk.say("Subject: x\r\n\r\nx\r\n.").startswith("250")
        assert talk.sock.fileno() == -1


def test_sigterm_lets_a_slow_message_finish_and_leaves_no_process() -> None:
    with postern(PosternSettings(top="stop_grace_s = 15")) as server:
        with_mailbox(server)
        port, children, pid = server.port(), server.children(), server.pid
        with lines(port) as talk:
            talk.say_all(
                "EHLO client.test", "MAIL FROM:<li@far.test>", "RCPT TO:<bob@here.test>", "DATA"
            )
            talk.sock.sendall(b"Subject: slow\r\n\r\nfirst\r\n")
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not answers("127.0.0.1", port, b"220"), "the port to be shut")
            for _ in range(5):
                talk.sock.sendall(b"another\r\n")
            reply = talk.say("last\r\n.")
            assert reply.startswith("250"), reply
            assert talk.hear().startswith("421")
        wait_until(lambda: server.server is None or not server.server.alive(), "the end")
        server.stop()
        assert wait_gone(children) == []
        server.start()
        (raw,) = server.wait_for_messages("bob@here.test")
        assert raw.replace(b"\r\n", b"\n").endswith(b"first\n" + b"another\n" * 5 + b"last\n")
        told = wait_state(server, "li@far.test", bob="delivered")
        assert told.trace == code_in(reply)


def test_a_second_start_on_the_same_data_refuses_in_one_line() -> None:
    with postern() as server:
        second = server.run("serve")
        assert second.exit_code == EX_TEMPFAIL
        assert len(second.stderr.strip().splitlines()) == 1
        assert str(server.data) in second.stderr
        assert str(server.pid) in second.stderr
        assert answers("127.0.0.1", server.port(), b"220 ")


def test_commands_that_need_the_server_say_that_it_does_not_run() -> None:
    with postern(start=False) as server:
        assert server.run("queue", "retry", "--all", "--yes").exit_code == EX_NOT_RUNNING


class Stream:
    """Messages sent one after the other until told to stop; tells which were acknowledged."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[str] = []
        self.broken = 0

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._send(f"n{len(self.acknowledged)}")
            except (OSError, AssertionError):
                self.broken += 1

    def _send(self, name: str) -> None:
        with lines(self._port) as talk:
            talk.say_all(
                "EHLO client.test", "MAIL FROM:<li@far.test>", "RCPT TO:<bob@here.test>", "DATA"
            )
            if talk.say(f"Subject: {name}\r\n\r\nx\r\n.").startswith("250"):
                self.acknowledged.append(name)


def test_a_killed_worker_comes_back_and_the_stream_of_mail_goes_on() -> None:
    with postern(PosternSettings(workers=2)) as server:
        with_mailbox(server)
        with Stream(server.port()) as stream:
            wait_until(lambda: len(stream.acknowledged) >= 20, "mail to flow")
            old = server.status(0).pid
            server.kill_worker(0)
            at_kill = len(stream.acknowledged)
            wait_until(lambda: server.status(0).pid != old, "another worker", within_s=30)
            wait_until(lambda: len(stream.acknowledged) >= at_kill + 50, "mail to flow on")
        sent = set(stream.acknowledged)

        def subjects() -> set[str]:
            found = server.messages("bob@here.test")
            return {raw.split(b"Subject: ")[1].split(b"\n")[0].decode() for raw in found}

        wait_until(lambda: sent <= subjects(), "every acknowledged message", within_s=30)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_idle_connections_do_not_hold_up_a_stop(sig: signal.Signals) -> None:
    with postern() as server, contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(lines(server.port()))
        silent = held.enter_context(socket.create_connection(("127.0.0.1", server.port())))
        begin = time.monotonic()
        os.kill(server.pid, sig)
        wait_until(lambda: server.server is not None and not server.server.alive(), "the end")
        assert time.monotonic() - begin < 8
        assert server.server is not None
        assert server.server.stop() == 0
        server.server = None
        silent.close()
