"""The MX hosts behave as they are told to, while connections stand, and remember what they saw."""

import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.lab.actors import PORT, Actors, actors
from tests.lab.behaviour import Behaviour, Opening, Tls
from tests.lab.mail import SECRET
from tests.lab.namespace import Namespace
from tests.lab.wire import recorded
from tests.lab.world import ABROAD, HOME, NEEDS, World, mx
from tests.peers.certificates import Authority
from tests.peers.process import wait_until

pytestmark = pytest.mark.peers(*NEEDS)

ONE, OTHER = mx(11), mx(12)
ANY = ssl._create_unverified_context()


@pytest.fixture(scope="module")
def hosts(shared_world: World, authority: Authority) -> Iterator[Actors]:
    with actors(shared_world.world, authority.issue("mx.world.example")) as hosts:
        yield hosts


@pytest.fixture(autouse=True)
def well_behaved(hosts: Actors) -> None:
    hosts.behave([ONE, OTHER])


class Client(smtplib.SMTP):
    """smtplib from a namespace."""

    def __init__(self, space: Namespace, ip: str = ONE, timeout: float = 5.0) -> None:
        self._space = space
        super().__init__(ip, PORT, "client.example", timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._space.connect(host, port, timeout_s=timeout)

    def hand_in(self, to: str = "zoe@tea.example", text: str = "hello") -> tuple[int, bytes]:
        """A whole transaction; the reply that ended it."""
        code, reply = self.mail("li@home.example")
        if code == 250:
            code, reply = self.rcpt(to)
        if code != 250:
            return code, reply
        return self.data(f"Message-ID: <{time.monotonic_ns()}@x>\r\n\r\n{text}\r\n")


def refuse_unless_ready(code: int, reply: bytes) -> None:
    """Make an error of a refusal, as smtplib makes of others."""
    if code != 220:
        raise smtplib.SMTPResponseException(code, reply)


@contextmanager
def client(space: Namespace, ip: str = ONE, *, timeout: float = 5.0) -> Iterator[Client]:
    """A client that has said EHLO, and hangs up in the end."""
    made = Client(space, ip, timeout)
    try:
        made.ehlo()
        yield made
    finally:
        made.close()


def test_a_good_host_takes_mail_under_tls_and_remembers_from_where(
    whole: World, hosts: Actors
) -> None:
    before = len(hosts.letters())
    with client(whole.home) as one, client(whole.abroad, OTHER) as other:
        one.starttls(context=ANY)
        one.ehlo()
        assert one.hand_in()[0] == 250
        assert other.hand_in("ann@tea.example")[0] == 250
    first, second = hosts.letters()[before:]
    assert (first.ip, first.client, first.tls) == (ONE, HOME, "TLSv1.3")
    assert (second.ip, second.client, second.tls) == (OTHER, ABROAD, "")
    assert (second.mail_from, second.recipients) == ("li@home.example", ("ann@tea.example",))
    assert first.is_answered
    assert hosts.copies()[first.message_id, "zoe@tea.example"] == 1
    assert hosts.visits(OTHER)[-1].commands == ("EHLO", "MAIL", "RCPT", "DATA")


def test_tls_hides_on_the_wire_what_clear_text_shows(whole: World, hosts: Actors) -> None:
    with recorded(whole.router) as wire:
        with client(whole.home) as hidden:
            hidden.starttls(context=ANY)
            hidden.ehlo()
            assert hidden.hand_in(text=SECRET)[0] == 250
        with client(whole.home, OTHER) as clear:
            assert clear.hand_in(text=SECRET)[0] == 250
        wait_until(lambda: bool(wire.carried(SECRET.encode())), "the wire to show it")
        assert {flow[2] for flow in wire.carried(SECRET.encode())} == {OTHER}


@pytest.mark.parametrize(
    ("opening", "error", "code"),
    [
        (Opening.MUTE, TimeoutError, None),
        (Opening.RESETS, ConnectionResetError, None),
        (Opening.CLOSES, smtplib.SMTPServerDisconnected, None),
        (Opening.BUSY, smtplib.SMTPConnectError, 421),
        (Opening.UNWELCOME, None, 554),
    ],
    ids=["mute", "resets", "closes", "busy", "unwelcome"],
)
def test_a_new_connection_meets_what_it_is_told_to(
    whole: World, hosts: Actors, opening: Opening, error: type[Exception], code: int | None
) -> None:
    hosts.behave([ONE], Behaviour(opening=opening))
    with pytest.raises((error or smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected)) as told:
        Client(whole.home, timeout=0.5)
    if code is not None:
        assert isinstance(told.value, smtplib.SMTPConnectError)
        assert told.value.smtp_code == code
    with client(whole.home, OTHER):
        pass


def test_an_address_nobody_speaks_for_resets(whole: World, hosts: Actors) -> None:
    with pytest.raises((ConnectionResetError, smtplib.SMTPServerDisconnected)):
        Client(whole.home, mx(99))


@pytest.mark.parametrize(
    ("tls", "error"),
    [
        (Tls.NONE, smtplib.SMTPNotSupportedError),
        (Tls.REFUSED, smtplib.SMTPResponseException),
        (Tls.STALLS, TimeoutError),
        (Tls.HANDSHAKE_STALLS, TimeoutError),
        (Tls.ALERT, ssl.SSLError),
    ],
    ids=["none", "refused", "stalls", "handshake-stalls", "alert"],
)
def test_starttls_meets_what_it_is_told_to(
    whole: World, hosts: Actors, tls: Tls, error: type[Exception]
) -> None:
    hosts.behave([ONE], Behaviour(tls=tls))
    with client(whole.home, timeout=0.5) as one:
        with pytest.raises((error, smtplib.SMTPServerDisconnected)) as told:
            refuse_unless_ready(*one.starttls(context=ANY))
        assert isinstance(told.value, error) or isinstance(told.value.__context__, error)


def test_an_untrusted_host_encrypts_with_a_certificate_for_somebody_else(
    whole: World, hosts: Actors, authority: Authority
) -> None:
    hosts.behave([ONE], Behaviour(tls=Tls.UNTRUSTED))
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    with client(whole.home) as one, pytest.raises(ssl.SSLCertVerificationError):
        one.starttls(context=trusting)
    with client(whole.home) as one:
        one.starttls(context=ANY)
        one.ehlo()
        assert one.hand_in()[0] == 250


def test_a_tarpit_says_a_byte_at_a_time(whole: World, hosts: Actors) -> None:
    hosts.behave([ONE], Behaviour(bytes_per_s=20))
    begin = time.monotonic()
    with whole.home.connect(ONE, PORT) as sock:
        got = b""
        while not got.endswith(b"\r\n"):
            got += (more := sock.recv(100))
            assert len(more) < 5
    assert time.monotonic() - begin > 0.8 * len(got) / 20


def test_a_greeting_comes_as_late_as_told(whole: World, hosts: Actors) -> None:
    hosts.behave([ONE], Behaviour(greeting_after_s=0.6))
    with whole.home.connect(ONE, PORT, timeout_s=0.3) as sock:
        with pytest.raises(TimeoutError):
            sock.recv(100)
        sock.settimeout(5)
        assert sock.recv(100).startswith(b"220 ")


def test_a_throttling_host_says_421_after_so_many_messages(whole: World, hosts: Actors) -> None:
    hosts.behave([ONE], Behaviour(most_messages=2))
    with client(whole.home) as one:
        assert [one.hand_in()[0] for _ in range(3)] == [250, 250, 421]
    with client(whole.home) as one:
        assert one.hand_in()[0] == 250


def test_a_greylisting_host_takes_it_the_second_time_from_the_same_client(
    whole: World, hosts: Actors
) -> None:
    hosts.behave([ONE], Behaviour(greylist_s=0.3))
    with client(whole.home) as one, client(whole.abroad) as other:
        assert one.hand_in("grey@tea.example")[0] == 450
        time.sleep(0.35)  # the host's own time must pass
        assert other.hand_in("grey@tea.example")[0] == 450
        one.rset()
        assert one.hand_in("grey@tea.example")[0] == 250


def test_the_reply_to_the_dot_is_held_back_until_it_may_go(whole: World, hosts: Actors) -> None:
    hosts.behave([ONE], Behaviour(holds_dot=True))
    before = len(hosts.letters(ONE))
    with client(whole.home, timeout=0.5) as one:
        with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
            one.hand_in()
        (letter,) = hosts.letters(ONE)[before:]
        assert not letter.is_answered
        hosts.let_go([ONE])
        wait_until(lambda: hosts.letters(ONE)[before].is_answered, "the reply")


def test_a_host_takes_a_message_and_resets_instead_of_a_reply(whole: World, hosts: Actors) -> None:
    hosts.behave([ONE], Behaviour(holds_dot=True))
    before = len(hosts.letters(ONE))
    with client(whole.home) as one, ThreadPoolExecutor(1) as pool:
        told = pool.submit(one.hand_in)
        wait_until(lambda: len(hosts.letters(ONE)) > before, "the message")
        hosts.let_go([ONE], resets=True)
        with pytest.raises((ConnectionResetError, smtplib.SMTPServerDisconnected)):
            told.result()
    assert not hosts.letters(ONE)[before].is_answered


def test_manners_change_while_a_connection_stands(whole: World, hosts: Actors) -> None:
    with client(whole.home, timeout=0.5) as one:
        hosts.behave([ONE], Behaviour(tls=Tls.STALLS))
        with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
            one.starttls(context=ANY)
