"""What one worker keeps of relays when it takes up another configuration."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from postern.app.settings import delivery_settings
from postern.app.steering import Steering, WaysOut
from postern.app.ways_out import routing_settings
from postern.config.load import load
from postern.delivery.probe import WayProbe
from postern.directory.store.site import SiteStore
from postern.mail.paths import UNWATCHED
from postern.mail.route import Way
from postern.routing.machine import this_machine
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

CONFIG = """
hostname = "mx.host.test"
data_dir = "data"
[[egress]]
name = "direct"
[[egress]]
name = "us1"
relay = "us1.example:587"
"""


class _Around:
    """Directory, spool, router and demands, as far as steering has to do with them here."""

    def on_change(self, told: Callable[[], None]) -> None:
        """Nothing changes."""

    def refresh(self) -> None:
        """Nothing changes."""

    def changed(self, record: object) -> None:
        """Nobody reads it."""

    def group_of(self, domain: str) -> str | None:
        """No domain is known."""

    def fit(self, way: Way, facts: object, domain: str = "") -> Way:
        """Nobody asks for anything."""
        return way


async def test_a_reload_while_dns_is_silent_keeps_the_relays_address(tmp_path: Path) -> None:
    (tmp_path / "postern.toml").write_text(CONFIG)
    config = load(tmp_path / "postern.toml")
    clock, around = FakeClock(), cast("Any", _Around())
    with closing(SiteStore.open(config.data_dir, clock, "worker-0")) as site:
        steering = Steering(config.data_dir, site, around, around, clock)

        def ways_out(dns: FakeResolver) -> WaysOut:
            probe = WayProbe(delivery_settings(config), clock, UNWATCHED)
            routing = routing_settings(config, {})
            machine = this_machine()
            return steering.ways_out(
                config, 1, routing, dns, around, probe, machine, fits=around
            )  # fmt: skip

        dns = FakeResolver()
        dns.add("us1.example", "A", "198.51.100.5")
        first = ways_out(dns)
        await first.relays.look_up()
        steering.serve(first)
        silent = FakeResolver()
        silent.fail_all()
        later = ways_out(silent)
        steering.serve(later)
        await later.relays.look_up()
        assert steering.controller.is_well("us1")
        await first.close()
        await later.close()
        await steering.close()
