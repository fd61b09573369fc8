"""Programs on the same machine send through the unix socket, as they did with sendmail(8)."""

from collections.abc import Iterator
from email import message_from_bytes

import pytest
from tests.journeys.told import queue, wait_state
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import free_port

EX_TEMPFAIL = 75
MESSAGE = (
    "From: cron@here.test\nTo: Bob <bob@here.test>\nCc: chen@here.test\n"
    "Bcc: alice@here.test\nSubject: nightly\n\nall is well\n.\nreally\n"
)


@pytest.fixture
def server() -> Iterator[PosternServer]:
    settings = PosternSettings(
        listeners=(Listening(), Listening("submission", "unix:run/submit.sock")),
        # Mail to outside waits: nobody listens where the relay should be.
        tables=(("[egress]", f'name = "down"\nrelay = "127.0.0.1:{free_port()}"'),),
    )
    with postern(settings) as running:
        running.domain_add("here.test")
        for name in ("alice", "bob", "chen"):
            running.mailbox_add(f"{name}@here.test")
        yield running


def test_mail_of_a_program_reaches_everybody_and_a_server_that_is_down_is_told(
    server: PosternServer,
) -> None:
    sent = server.run("sendmail", "-t", "-i", "-f", "cron@here.test", stdin=MESSAGE)
    assert (sent.exit_code, sent.stderr) == (0, "")
    for name in ("alice", "bob", "chen"):
        (raw,) = server.wait_for_messages(f"{name}@here.test")
        message = message_from_bytes(raw)
        assert message["Bcc"] is None
        assert message["Message-ID"] is not None
        assert message["Date"] is not None
        assert raw.replace(b"\r\n", b"\n").endswith(b"\n\nall is well\n.\nreally\n")
    wait_state(server, "cron@here.test", alice="delivered", bob="delivered", chen="delivered")

    unknown = server.run("sendmail", "-i", "nobody@here.test", stdin="Subject: x\n\nx\n")
    assert unknown.exit_code == 67
    assert "there is no mailbox nobody@here.test here" in unknown.stderr

    server.domain_add("shut.test", to=f"127.0.0.1:{free_port()}")
    put_off = server.run("sendmail", "-i", "zoe@shut.test", stdin="Subject: x\n\nx\n")
    assert put_off.exit_code == EX_TEMPFAIL

    assert "Mail queue is empty" in server.cli("mailq")
    server.stop()
    down = server.run("sendmail", "-t", stdin=MESSAGE)
    assert down.exit_code == EX_TEMPFAIL
    assert down.stderr
    server.start()
    assert len(server.messages("bob@here.test")) == 1, "what was not taken is not sent either"


def test_mailq_lists_what_waits(server: PosternServer) -> None:
    away = "zoe@far.test"
    sent = server.run("sendmail", "-i", "-f", "alice@here.test", away, stdin="Subject: x\n\nx\n")
    assert sent.exit_code == 0, sent.stderr
    told = wait_state(server, "alice@here.test", zoe="waiting")
    assert queue(server).waiting == 1
    listed = server.cli("mailq")
    assert told.trace in listed
    assert "alice@here.test" in listed
    assert away in listed
    by_sendmail = server.run("sendmail", "-bp")
    assert told.trace in by_sendmail.stdout
