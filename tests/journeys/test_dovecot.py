"""Dovecot stores the mailboxes: Postern hands it the mail by LMTP, people read it by IMAP."""

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes

import pytest
from tests.journeys.told import code_in, wait_state
from tests.peers.dovecot import Dovecot, dovecot
from tests.peers.postern_server import PosternServer, PosternSettings, postern
from tests.peers.swaks import swaks

pytestmark = pytest.mark.peers("dovecot", "swaks")


@dataclass(frozen=True)
class World:
    """Postern in front of Dovecot."""

    postern: PosternServer
    store: Dovecot


@pytest.fixture(scope="module", params=["unix", "tcp"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with dovecot() as store:
        place = f"127.0.0.1:{store.lmtp_port}"
        if request.param == "unix":
            place = f"unix:{store.lmtp_socket}"
        settings = PosternSettings(tables=(("delivery", f'lmtp = "{place}"'),))
        with postern(settings) as server:
            server.domain_add("here.test")
            for name in ("alice", "bob"):
                server.mailbox_add(f"{name}@here.test")
            yield World(server, store)


def test_each_recipient_reads_the_message_by_imap(world: World) -> None:
    to = ["alice@here.test", "bob@here.test"]
    exchange = swaks(world.postern.port(), sender="li@far.test", to=to)
    assert exchange.accepted, exchange.transcript
    code = code_in(exchange.reply_to("."))
    told = wait_state(world.postern, code, alice="delivered", bob="delivered")
    assert {attempt.outcome for attempt in told.attempts} == {"delivered"}
    for one in to:
        message = message_from_bytes(world.store.messages(one)[-1])
        assert message["Return-Path"] == "<li@far.test>"
        assert code in " ".join(" ".join(message.get_all("Received", [])).split())
    assert world.postern.messages("alice@here.test") == []
