"""The private Postfix does what the journeys rely on."""

import smtplib
import ssl
from collections.abc import Iterator

import pytest
from tests.peers.certificates import Authority
from tests.peers.postfix import Postfix, PostfixSettings, Smarthost, postfix
from tests.peers.process import short_folder
from tests.peers.swaks import swaks

pytestmark = pytest.mark.peers("postfix", "swaks")


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with short_folder() as folder:
        yield Authority(folder)


@pytest.fixture(scope="module")
def peer(authority: Authority) -> Iterator[Postfix]:
    settings = PostfixSettings(
        domains=("sink.test",),
        refuse={
            "gone@sink.test": "550 5.1.1 User unknown",
            "later@sink.test": "450 4.2.0 Greylisted, try later",
        },
        certificate=authority.issue("peer.test", "127.0.0.1"),
    )
    with postfix(settings) as running:
        yield running


def test_postfix_keeps_what_swaks_sends_in_a_maildir(peer: Postfix) -> None:
    exchange = swaks(peer.port, sender="li@client.test", to="wang@sink.test")
    assert exchange.accepted
    (message,) = peer.wait_for_messages("wang@sink.test")
    assert b"li@client.test" in message


def test_postfix_refuses_the_named_recipient_and_no_other(peer: Postfix) -> None:
    exchange = swaks(peer.port, sender="li@client.test", to="gone@sink.test")
    assert exchange.refused_at == "rcpt"
    assert "5.1.1" in exchange.reply_to("RCPT TO:<gone@sink.test>")
    assert swaks(peer.port, sender="li@client.test", to="here@sink.test").accepted


def test_postfix_defers_the_named_recipient(peer: Postfix) -> None:
    exchange = swaks(peer.port, sender="li@client.test", to="later@sink.test")
    assert exchange.replies("450")


def test_postfix_offers_starttls_with_our_certificate(peer: Postfix, authority: Authority) -> None:
    with smtplib.SMTP("127.0.0.1", peer.port, timeout=20) as client:
        client.starttls(context=ssl.create_default_context(cafile=str(authority.ca)))
        code, _ = client.ehlo()
    assert code == 250


def test_postfix_sends_through_its_smarthost(peer: Postfix, authority: Authority) -> None:
    smarthost = Smarthost("127.0.0.1", peer.port, ca=authority.ca)
    with postfix(PostfixSettings(hostname="sender.test", smarthost=smarthost)) as sender:
        sender.submit("li@client.test", ["chen@sink.test"], b"Subject: by way of\n\nhello\n")
        (message,) = peer.wait_for_messages("chen@sink.test")
    assert b"sender.test" in message
    assert b"TLS" in message
    assert sender.queue_length() == 0


def test_two_postfixes_run_at_once_and_leave_no_process(peer: Postfix) -> None:
    with postfix() as other:
        assert other.port != peer.port
        pid = other.server.pid
    assert other.server.process is not None
    assert other.server.process.returncode is not None
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP("127.0.0.1", other.port, timeout=5)
    assert pid > 0
