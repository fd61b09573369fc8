"""An address that is down is known, tested, shown, and well again by itself; a restart keeps it."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from tests.journeys.clients import submit
from tests.peers.certificates import Authority
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.postfix import Postfix, PostfixSettings, postfix
from tests.peers.process import wait_until

pytestmark = pytest.mark.peers("postfix", "nsd")

ALICE = "alice@here.test"
DOWN = "127.0.0.77"
ZONES = {
    "two.test": "@ MX 10 dead.host.test.\n@ MX 20 mx.host.test.",
    "too.test": "@ MX 10 dead.host.test.\n@ MX 20 mx.host.test.",
    "host.test": f"dead A {DOWN}\nmx A 127.0.0.1",
    "far.test": "@ MX 10 mx\nmx A 127.0.0.1",
}
PROVIDERS = '[tea-mail]\nmx = ["mx.host.test", "dead.host.test"]\n'


@dataclass(frozen=True)
class World:
    postern: PosternServer
    peer: Postfix

    def send(self, to: str) -> None:
        submit(self.postern.port("submission"), ALICE, "secret", [to])
        self.peer.wait_for_messages(to)

    def metrics(self) -> str:
        console = json.loads((self.postern.data / "run" / "console.json").read_text())
        url = f"http://127.0.0.1:{console['port']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    def group(self, name: str) -> dict[str, object] | None:
        groups = self.postern.cli_json("paths")["groups"]
        assert isinstance(groups, list)
        return next((group for group in groups if group["mx_group"] == name), None)

    def state(self, name: str, address: str = "") -> str:
        """Of a group, or of one address of it."""
        group = self.group(name)
        if group is None:
            return "unknown"
        if not address:
            return str(group["state"])
        addresses = group["addresses"]
        assert isinstance(addresses, list)
        (found,) = [one for one in addresses if one["address"].startswith(address)]
        return str(found["state"])


@pytest.fixture(scope="module")
def world(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    providers = tmp_path_factory.mktemp("providers") / "providers.toml"
    providers.write_text(PROVIDERS)
    peer_settings = PostfixSettings(
        hostname="mx.host.test",
        domains=("two.test", "too.test", "far.test"),
        certificate=authority.issue("mx.host.test"),
    )
    with NsdServer(ZONES) as dns, postfix(peer_settings) as peer:
        settings = PosternSettings(
            listeners=(Listening(), Listening("submission")),
            certificate=authority.issue("mx.postern.test"),
            resolver=dns.address,
            workers=2,
            tables=(
                ("delivery", f'port = {peer.port}\nproviders = "{providers}"'),
                ("paths", "first_retest_s = 0.5\nretest_s = 1"),
            ),
        )
        with postern(settings) as server:
            server.domain_add("here.test")
            server.mailbox_add(ALICE, "secret")
            yield World(server, peer)


@contextmanager
def listening(port: int) -> Iterator[Controller]:
    """Somebody answers at the address that was down."""
    controller = Controller(Sink(), hostname=DOWN, port=port)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


def test_an_address_that_is_down_and_comes_back(world: World) -> None:
    for to in ("zoe@two.test", "zoe@too.test", "zoe@far.test"):
        world.send(to)
    wait_until(lambda: world.state("tea-mail", DOWN) == "blocked", "the dead address to be known")
    group = world.group("tea-mail")
    assert group is not None
    assert (group["domains"], group["state"], group["route"]) == (2, "degraded", None)
    assert world.state("tea-mail", "127.0.0.1") == "healthy"
    assert world.state("far.test") == "healthy"
    assert 'postern_mx_group_up{mx_group="tea-mail"} 1.0' in world.metrics()
    shown = world.postern.cli("paths", "--bad", codes=(1,))
    assert "tea-mail  2 domains" in shown
    assert "refused" in shown
    assert "far.test" not in shown

    world.postern.stop()
    assert world.state("tea-mail", DOWN) == "blocked"
    world.postern.start()
    assert world.state("tea-mail", DOWN) == "blocked"

    with listening(world.peer.port):
        wait_until(lambda: world.state("tea-mail") == "healthy", "the address to be well again")
    assert world.postern.cli("paths", "--bad") == "Every path is healthy.\n"
