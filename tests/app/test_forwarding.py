"""Forward zones reach the resolver as soon as the database changed, and whatever it does then."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from postern.app import forwarding as module
from postern.app.forwarding import Forwarding
from postern.app.outward import Outward
from postern.directory.store.site import SiteStore
from postern.routing.zones.store import ForwardZoneStore
from postern.runtime.clock import FakeClock
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.resolver.forward import ForwardZones


@dataclass
class Rooms:
    """What looks things up, and what remembers where mail goes."""

    zones: ForwardZones = field(default_factory=ForwardZones)
    forgot: int = 0

    @property
    def resolver(self) -> "Rooms":
        return self

    @property
    def router(self) -> "Rooms":
        return self

    def forward(self, zones: ForwardZones) -> bool:
        is_new = bool(zones.differing(self.zones))
        self.zones = zones
        return is_new

    def forget(self) -> None:
        self.forgot += 1

    def via(self, name: str) -> str | None:
        found = self.zones.of(name, 0.0)
        return None if found is None else found.via


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ForwardZoneStore]:
    clock = FakeClock()
    site = SiteStore.open(tmp_path, clock, "test")
    yield ForwardZoneStore(site.database, clock, "test")
    site.close()


def outward(rooms: Rooms) -> Outward:
    return cast("Outward", rooms)


def test_a_change_is_taken_up_and_routes_are_forgotten_only_then(store: ForwardZoneStore) -> None:
    rooms = Rooms()
    forwarding = Forwarding(store, outward(rooms))
    store.add("tea.example", "us1", lasts_s=None, reason="x")
    forwarding.refresh()
    assert (rooms.via("mail.tea.example"), rooms.forgot) == ("us1", 1)
    forwarding.refresh()
    assert rooms.forgot == 1
    fresh = Rooms()
    forwarding.serve(outward(fresh))  # a reload: the new ones know it at once
    assert fresh.via("tea.example") == "us1"
    store.end("Z1")
    forwarding.refresh()
    assert (fresh.via("tea.example"), rooms.via("tea.example")) == (None, "us1")


async def test_a_database_in_trouble_is_asked_again_once_and_nothing_is_forgotten(
    store: ForwardZoneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = Rooms()
    store.add("tea.example", "us1", lasts_s=None, reason="x")
    forwarding = Forwarding(store, outward(rooms))
    asked, well, whole = 0, asyncio.Event(), store.active

    def active() -> ForwardZones:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise DatabaseTroubleError("it is locked")
        well.set()
        return whole()

    monkeypatch.setattr(store, "active", active)
    monkeypatch.setattr(module, "AGAIN_S", 0.02)
    store.end("Z1")
    for _ in range(100):
        forwarding.refresh()
    assert (asked, rooms.via("tea.example")) == (1, "us1")
    async with asyncio.timeout(20):
        await well.wait()
    assert (asked, rooms.via("tea.example")) == (3, None)
