"""Two servers that are each other's relay: what nobody can deliver does not go round."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.journeys.clients import submit
from tests.journeys.told import wait_state, wait_told, why
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.process import free_port, short_folder

pytestmark = pytest.mark.peers("nsd")

ALICE = "alice@here.test"
MX = "".join(f"@ MX {n}0 mx{n}\nmx{n} A 127.0.9.{n}\n" for n in range(1, 6))
ZONES = {"far.test": MX, "here.test": '@ TXT "v=spf1 ip4:127.0.0.1 -all"'}
"""Nobody listens at the mail hosts of far.test; both servers may send for here.test."""
EGRESS = """\
name = "{name}"
relay = "127.0.0.1:{port}"
username = "{login}"
password_file = "{password}"
tls = "encrypt"
"""
CALM_S = 3.0


@dataclass(frozen=True)
class World:
    """Alice's server, and the one that is its relay and has it as its own."""

    here: PosternServer
    there: PosternServer


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    ports = {"here": free_port(), "there": free_port()}
    with short_folder() as folder, NsdServer(ZONES) as dns:
        password = folder / "password"
        password.write_text("a secret\n")
        password.chmod(0o600)
        delivery_port = free_port()

        def settings(name: str, other: str) -> PosternSettings:
            egress = EGRESS.format(
                name=other,
                port=ports[other],
                login=f"{name}@{other}.relay.test",
                password=password,
            )
            accounts = f'relay_accounts = ["{other}@{name}.relay.test"]'
            return PosternSettings(
                hostname=f"{name}.relay.test",
                listeners=(Listening(), Listening("submission", f"127.0.0.1:{ports[name]}")),
                certificate=authority.issue(f"{name}.relay.test"),
                resolver=dns.address,
                tables=(
                    ("[egress]", 'name = "direct"'),
                    ("[egress]", egress),
                    ("delivery", f"port = {delivery_port}"),
                    ("submission", accounts),
                ),
            )

        with (
            postern(settings("here", "there")) as here,
            postern(settings("there", "here")) as there,
        ):
            for server, name, other in ((here, "here", "there"), (there, "there", "here")):
                server.domain_add(f"{name}.relay.test")
                server.mailbox_add(f"{other}@{name}.relay.test", "a secret")
            here.domain_add("here.test")
            here.mailbox_add(ALICE, "own secret")
            yield World(here, there)


def test_mail_that_comes_back_is_not_given_to_the_same_relay_again(world: World) -> None:
    code = submit(world.here.port("submission"), ALICE, "own secret", ["zoe@far.test"])
    # To the relay, and by the relay back to us: each saw that nothing answers.
    wait_state(world.here, code, zoe="delivered")
    wait_told(world.there, ALICE, lambda told: told.states() == {"zoe@far.test": "delivered"})
    back = wait_told(world.here, ALICE, lambda told: told.trace != code and bool(told.attempts))
    time.sleep(CALM_S)  # whatever would go round would have done so
    assert len(why(world.there, ALICE)) == 1, "it was relayed once"
    assert len(why(world.here, ALICE)) == 2
    (again,) = [one for one in why(world.here, ALICE) if one.trace == back.trace]
    assert again.states() == {"zoe@far.test": "waiting"}
    assert {attempt.egress for attempt in again.attempts} == {"direct"}
