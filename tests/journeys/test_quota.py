"""A full mailbox says so before the mail is taken; what was taken is delivered, however full."""

import json
import smtplib
from collections.abc import Iterator

import pytest
from tests.journeys.told import code_in, traced, wait_state
from tests.peers.dovecot import Dovecot, dovecot
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.process import wait_until
from tests.peers.swaks import Exchange, swaks

KIB = 1024
pytestmark = pytest.mark.peers("swaks")


@pytest.fixture(scope="module")
def server() -> Iterator[PosternServer]:
    with postern(PosternSettings()) as running:
        running.domain_add("here.test")
        yield running


def mailbox(server: PosternServer, name: str, quota: str = "none") -> str:
    address = f"{name}@here.test"
    server.cli("mailbox", "add", address, "--quota", quota)
    return address


def send(server: PosternServer, to: str, kib: int = 1) -> Exchange:
    """A message that does not declare its size, as swaks sends it."""
    message = b"Subject: tea\r\n\r\n" + (b"x" * 62 + b"\r\n") * (kib * 16)
    return swaks(server.port(), sender="li@far.test", to=to, message=message)


def used(server: PosternServer, address: str) -> int:
    shown = json.loads(server.cli("mailbox", "show", address, "--json"))
    return int(shown["mailbox"]["used_bytes"])


def wait_delivered(server: PosternServer, exchange: Exchange, name: str) -> None:
    assert exchange.accepted, exchange.transcript
    wait_state(server, code_in(exchange.reply_to(".")), **{name: "delivered"})


def until_accepted(server: PosternServer, to: str) -> None:
    """Room that was made is noticed within moments."""
    wait_until(lambda: send(server, to).accepted, "room", server=server.server, within_s=20)


def test_full_then_emptied_then_accepted(server: PosternServer) -> None:
    to = mailbox(server, "full", "20K")
    wait_delivered(server, send(server, to, 16), "full")
    # Nobody said how large it would be: it is taken, and delivered over the limit.
    wait_delivered(server, send(server, to, 16), "full")
    assert used(server, to) > 30 * KIB
    refused = send(server, to)
    assert refused.refused_at == "rcpt"
    replies = refused.replies("452")
    assert replies[0] == f"452-4.2.2 Not accepted now: the mailbox of {to} is full."
    told = traced(server, code_in(replies[-1]))
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("quota.full", "recipient")
    assert told.states() == {to: "refused-for-now"}
    for path in (server.maildir(to) / "new").iterdir():
        path.unlink()
    until_accepted(server, to)


def test_a_declared_size_that_would_not_fit_is_not_now_and_one_that_never_could_is_final(
    server: PosternServer,
) -> None:
    to = mailbox(server, "small", "100K")
    wait_delivered(server, send(server, to, 64), "small")
    with smtplib.SMTP("127.0.0.1", server.port()) as smtp:
        smtp.ehlo()
        assert smtp.mail("li@far.test", ["SIZE=60000"])[0] == 250
        code, text = smtp.rcpt(to)
        assert (code, text[:5]) == (452, b"4.2.2")
        smtp.rset()
        smtp.mail("li@far.test", ["SIZE=200000"])
        code, text = smtp.rcpt(to)
        assert (code, text[:5]) == (552, b"5.2.2")
        smtp.rset()
        smtp.mail("li@far.test", ["SIZE=2000"])
        assert smtp.rcpt(to)[0] == 250


def test_a_limit_set_later_counts_what_is_there_and_a_domains_counts_all(
    server: PosternServer,
) -> None:
    server.domain_add("shop.test")
    server.mailbox_add("ann@shop.test")
    server.mailbox_add("ben@shop.test")
    for name in ("ann", "ben"):
        wait_delivered(server, send(server, f"{name}@shop.test", 8), name)
    server.cli("domain", "set", "shop.test", "--quota", "12K")
    assert send(server, "ann@shop.test").refused_at == "rcpt"
    assert "12K" in server.cli("domain", "show", "shop.test")
    server.cli("domain", "set", "shop.test", "--quota", "none")
    assert send(server, "ann@shop.test").accepted
    server.cli("mailbox", "set", "ann@shop.test", "--quota", "4K")
    assert send(server, "ann@shop.test").refused_at == "rcpt"
    assert send(server, "ben@shop.test").accepted


def test_what_is_used_is_shown(server: PosternServer) -> None:
    to = mailbox(server, "shown", "1M")
    wait_delivered(server, send(server, to, 8), "shown")
    listed = json.loads(server.cli("mailbox", "list", "here.test", "--json"))["mailboxes"]
    (found,) = (one["used_bytes"] for one in listed if one["address"] == to)
    assert 8 * KIB < found < 10 * KIB
    assert found == used(server, to)
    assert "8." in server.cli("mailbox", "list", "here.test")


# --- Dovecot stores the mail ----------------------------------------------------------------------


def in_front(store: Dovecot, *, asks: bool) -> PosternSettings:
    lines = f'lmtp = "unix:{store.lmtp_socket}"\n'
    if asks:
        lines += f'quota_status = "unix:{store.quota_socket}"\n'
    return PosternSettings(tables=(("delivery", lines), ("queue", "first_retry_s = 3600")))


@pytest.mark.peers("dovecot", "swaks")
def test_dovecot_is_asked_whether_there_is_room() -> None:
    with dovecot(quota="40k") as store, postern(in_front(store, asks=True)) as server:
        server.domain_add("here.test")
        to = mailbox(server, "alice")
        wait_delivered(server, send(server, to, 16), "alice")
        store.deliver(to, b"Subject: fill\r\n\r\n" + b"y" * 30_000 + b"\r\n")
        store.deliver(to, b"Subject: fill\r\n\r\n" + b"y" * 23_000 + b"\r\n")
        with smtplib.SMTP("127.0.0.1", server.port()) as smtp:
            smtp.ehlo()
            smtp.mail("li@far.test", ["SIZE=9000"])
            code, text = smtp.rcpt(to)
            assert (code, text[:5]) == (452, b"4.2.2")
        store.empty(to)
        assert send(server, to, 16).accepted


@pytest.mark.peers("dovecot", "swaks")
def test_what_was_accepted_for_a_full_mailbox_waits_and_does_not_bounce() -> None:
    with dovecot(quota="20k") as store, postern(in_front(store, asks=False)) as server:
        server.domain_add("here.test")
        to = mailbox(server, "bob")
        assert store.deliver(to, b"Subject: fill\r\n\r\n" + b"y" * 15_000 + b"\r\n")
        exchange = send(server, to, 16)
        assert exchange.accepted, exchange.transcript
        code = code_in(exchange.reply_to("."))
        wait_until(
            lambda: bool(traced(server, code).attempts), "a try", server=server.server, within_s=20
        )
        waiting = traced(server, code)
        assert waiting.attempts[0].reply.startswith("452 4.2.2")
        store.empty(to)
        server.cli("queue", "retry", "--to", to)
        wait_state(server, code, bob="delivered")
