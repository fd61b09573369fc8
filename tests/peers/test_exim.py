"""Exim sends what it is given, and tells how it fared."""

import pytest
from tests.peers.exim import exim
from tests.peers.postfix import PostfixSettings, postfix

pytestmark = pytest.mark.peers("exim4", "postfix")


def test_exim_tells_which_recipients_were_taken() -> None:
    settings = PostfixSettings(
        domains=("sink.test",),
        refuse={"gone@sink.test": "550 5.1.1 gone", "full@sink.test": "450 4.2.2 full"},
    )
    people = ["wang@sink.test", "gone@sink.test", "full@sink.test"]
    with postfix(settings) as peer:
        sent = exim(peer.port, sender="li@tea.test", to=people, message=b"Subject: hi\n\nhello\n")
        assert (sent.delivered, sent.failed, sent.deferred) == tuple((who,) for who in people)
        assert ("C", "DATA") in sent.lines
        assert sent.replies("354")
        (message,) = peer.wait_for_messages("wang@sink.test")
        assert b"Subject: hi" in message
