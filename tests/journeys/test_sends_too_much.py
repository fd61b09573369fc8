"""Our own users send too much: it waits its turn, and a stolen password is stopped at once."""

import json
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from tests.journeys.clients import submit
from tests.journeys.told import queue, wait_state
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import free_port, wait_until

pytestmark = pytest.mark.peers("nsd")

SHOP = "shop@here.test"
STOLEN = "stolen@here.test"


@dataclass(frozen=True)
class World:
    postern: PosternServer

    def submit(self, account: str, *to: str) -> str:
        return submit(self.postern.port("submission"), account, "secret", to)


@pytest.fixture(scope="module")
def world(authority: Authority) -> Iterator[World]:
    far = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    far.start()
    try:
        with NsdServer({"far.test": "@ MX 10 mx\nmx A 127.0.0.1"}) as dns:
            settings = PosternSettings(
                listeners=(Listening(), Listening("submission")),
                certificate=authority.issue("mx.postern.test"),
                resolver=dns.address,
                tables=(
                    ("delivery", f"port = {far.port}"),
                    ("submission", "recipients_per_day = 3\nspike_first_recipients = 6"),
                ),
            )
            with postern(settings) as server:
                server.domain_add("here.test")
                for mailbox in (SHOP, STOLEN, "boss@here.test"):
                    server.mailbox_add(mailbox, "secret")
                server.alias_add("postmaster@here.test", "boss@here.test")
                server.alias_add("postmaster", "boss@here.test")
                yield World(server)
    finally:
        far.stop()


def test_what_is_over_the_allowance_waits_and_says_why(world: World) -> None:
    for n in range(3):
        wait_state(world.postern, world.submit(SHOP, f"a{n}@far.test"), **{f"a{n}": "delivered"})
    code = world.submit(SHOP, "late@far.test")
    told = wait_state(world.postern, code, late="waiting")
    assert told.attempts == []
    causes = [cause.cause for cause in queue(world.postern).causes]
    assert f"{SHOP} sends to more than 3 recipients a day" in causes
    world.postern.cli("queue", "retry", "--account", SHOP)
    wait_state(world.postern, code, late="delivered")


def test_a_spike_freezes_the_account_and_people_are_told_until_somebody_thaws_it(
    world: World,
) -> None:
    many = [f"stranger{n}@far.test" for n in range(7)]
    code = world.submit(STOLEN, *many)
    wait_state(world.postern, code, stranger0="held", stranger6="held")
    for mailbox in (STOLEN, "boss@here.test"):
        (letter,) = world.postern.wait_for_messages(mailbox)
        assert b"sends nothing for now" in letter
    with pytest.raises(AssertionError, match="may send nothing for now"):
        world.submit(STOLEN, "one@far.test")
    listed = json.loads(world.postern.cli("temporary", "list", "--json"))["temporaries"]
    (line,) = [line for line in listed if line["kind"] == "freeze"]
    assert (line["id"], line["undo"]) == ("F1", f"postern mailbox thaw {STOLEN}")
    world.postern.cli("mailbox", "thaw", STOLEN)
    wait_state(world.postern, code, stranger0="delivered", stranger6="delivered")
    wait_until(lambda: _may_send(world), "the account to send again")
    code = world.submit(STOLEN, "other@far.test")  # somebody new, and no spike any more
    wait_state(world.postern, code, other="waiting")


def _may_send(world: World) -> bool:
    try:
        world.submit(STOLEN, "stranger0@far.test")
    except (AssertionError, smtplib.SMTPException):
        return False
    return True


def test_a_person_freezes_an_account_with_a_reason_that_its_owner_is_told(world: World) -> None:
    said = world.postern.cli("mailbox", "freeze", SHOP, "--reason", "ticket 812", "--for", "7d")
    assert f"postern mailbox thaw {SHOP}" in said
    with pytest.raises(AssertionError, match="ticket 812"):
        world.submit(SHOP, "a0@far.test")
    world.postern.cli("mailbox", "thaw", SHOP, "--keep-held")
