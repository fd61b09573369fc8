"""The private Dovecot takes mail by LMTP and shows it by IMAP."""

import smtplib

import pytest
from tests.peers.dovecot import dovecot

pytestmark = pytest.mark.peers("dovecot")


def test_dovecot_takes_lmtp_on_both_sockets_and_shows_it_by_imap() -> None:
    with dovecot() as peer:
        with smtplib.LMTP("127.0.0.1", peer.lmtp_port) as client:
            refused = client.sendmail(
                "li@a.test", ["wang@b.test"], b"Subject: one\r\n\r\nhello\r\n"
            )
        assert refused == {}
        with smtplib.LMTP(str(peer.lmtp_socket)) as client:
            client.sendmail("li@a.test", ["wang@b.test"], b"Subject: two\r\n\r\nhello\r\n")
        messages = peer.messages("wang@b.test")
        assert len(messages) == 2
        assert any(b"Subject: two" in message for message in messages)
        assert peer.messages("other@b.test") == []
