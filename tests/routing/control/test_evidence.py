"""When a group is called blocked, with the tests that are made beside the mail; in virtual time."""

import random
from collections.abc import Mapping

from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Egress, SmtpRoute, Target, Way
from postern.routing.control.evidence import gather
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.groups import Evidence
from postern.routing.paths.prober import Prober
from postern.runtime.clock import FakeClock, Instant

IPS = tuple(f"192.0.2.{number}" for number in range(1, 6))
PATHS = [Path("direct", ip, 25, encrypted=True) for ip in IPS]
SILENT_S = 3.0


class Group:
    """Five addresses, those in ``dead`` do not answer."""

    def __init__(self, *dead: str) -> None:
        self.dead = dead
        self.clock = FakeClock()
        self.board = Board(self.clock)
        census = Census(self.clock)
        targets = tuple(Target("mx.tea.example", ip, 25) for ip in IPS)
        census.met(SmtpRoute("tea.example", Egress("direct"), targets, "tea.example"))
        self.prober = Prober(self.board, census, self, self.clock, random.Random(1))
        self.prober.probe = self.probe
        self.silent: list[tuple[float, str]] = []

    async def claim(self, until: Mapping[Path, Instant]) -> frozenset[Path] | None:
        return frozenset(until)

    async def probe(self, way: Way) -> None:
        ip = way.target.ip
        if ip in self.dead:
            self.silent.append((self.clock.monotonic() + SILENT_S, ip))
        else:
            self.saw(ip, Sign.ANSWERED, is_probe=True)

    def saw(self, ip: str, sign: Sign, *, is_probe: bool = False) -> None:
        path, now = Path("direct", ip, 25, encrypted=True), self.clock.now()
        seconds = SILENT_S if sign is Sign.SILENT else 0.05
        seen = Observation(path, "tea.example", "mx", sign, now, seconds, is_probe=is_probe)
        self.board.saw(seen)

    async def step(self) -> None:
        await self.prober.turn()
        await self.prober.wait_idle()
        self.clock.advance(0.1)
        now = self.clock.monotonic()
        for at, ip in [one for one in self.silent if one[0] <= now]:
            self.silent.remove((at, ip))
            self.saw(ip, Sign.SILENT, is_probe=True)

    @property
    def evidence(self) -> Evidence:
        return gather(self.board, "tea.example", PATHS, {"direct"}, 0, self.clock.now())

    @property
    def is_blocked(self) -> bool:
        return self.evidence.is_enough(self.clock.now())


async def test_two_dead_of_five_are_no_blocked_group_though_the_others_answered_just_before() -> (
    None
):
    group = Group(*IPS[:2])
    for ip in IPS[2:]:
        group.saw(ip, Sign.ANSWERED)
    group.clock.advance(4)
    group.saw(IPS[0], Sign.REFUSED)
    for step in range(200):
        if step == 5:
            group.saw(IPS[1], Sign.REFUSED)
        await group.step()
        assert not group.is_blocked, group.evidence.text()
    assert group.evidence.failures >= 3
    assert group.evidence.answers


async def test_five_that_drop_packets_are_a_blocked_group_at_six_seconds() -> None:
    group = Group(*IPS)
    for ip in IPS:
        group.saw(ip, Sign.ANSWERED)  # mail went there until now
    group.clock.advance(SILENT_S)
    began = group.clock.now() - SILENT_S
    group.saw(IPS[0], Sign.SILENT)
    while not group.is_blocked:
        await group.step()
        assert group.clock.now() - began < 7
    assert group.evidence.text() == "5 of 5 MX addresses do not answer"


async def test_what_was_blocked_before_a_restart_makes_no_blocked_group_of_one_failure_more() -> (
    None
):
    group = Group(*IPS[:3])
    for _ in range(2):
        for ip in IPS[:2]:
            group.saw(ip, Sign.REFUSED)
        group.clock.advance(1)
    after = Group(*IPS[:3])
    after.board.learn(group.board.states())
    for _ in range(36):
        after.clock.advance(100)
    after.saw(IPS[2], Sign.REFUSED)
    assert not after.is_blocked, "the other two have not been asked since"
    for _ in range(100):
        await after.step()
        assert not after.is_blocked
