"""When paths are tested: in virtual time, with a network that does as it is told."""

import asyncio
import itertools
import random
import time
from collections.abc import Mapping

import pytest
from tests.routing.paths.rig import route, until

from postern.mail.paths import Observation, Path, Sign
from postern.mail.route import Egress, TlsPolicy, Way
from postern.routing.paths.board import Board
from postern.routing.paths.census import Census
from postern.routing.paths.health import PathCondition
from postern.routing.paths.prober import Prober
from postern.routing.paths.settings import ProbeSettings
from postern.runtime.clock import FakeClock, Instant


class Network:
    """What each address does, when it was tested, and who may test."""

    def __init__(self, workers: int = 1) -> None:
        self.clock = FakeClock()
        self.board = Board(self.clock)
        self.census = Census(self.clock)
        self.prober = Prober(self.board, self.census, self, self.clock, random.Random(4))
        self.prober.settings = ProbeSettings(workers=workers)
        self.prober.probe = self.probe
        self.does: dict[str, Sign] = {}
        self.tested: list[tuple[float, str]] = []
        self.ways: list[Way] = []
        self.leases: dict[Path, Instant] = {}  # of other workers
        self.is_readable = True

    async def claim(self, until: Mapping[Path, Instant]) -> frozenset[Path] | None:
        if not self.is_readable:
            return None
        now = self.clock.now()
        return frozenset(path for path in until if self.leases.get(path, 0.0) <= now)

    async def probe(self, way: Way) -> None:
        self.ways.append(way)
        self.tested.append((self.clock.monotonic(), way.target.ip))
        sign = self.does.get(way.target.ip, Sign.ANSWERED)
        encrypted = way.target.tls.policy is not TlsPolicy.NEVER
        self.saw(way.target.ip, sign, is_probe=True, encrypted=encrypted, group=way.group)

    def saw(
        self,
        ip: str,
        sign: Sign,
        *,
        is_probe: bool = False,
        encrypted: bool = True,
        group: str = "google",
    ) -> None:
        path = Path("direct", ip, 25, encrypted)
        now = self.clock.now()
        self.board.saw(Observation(path, group, "mx", sign, now, 0.0, "", is_probe=is_probe))

    async def run(self, seconds: float, step_s: float = 0.5) -> None:
        for _ in range(round(seconds / step_s)):
            await self.prober.turn()
            await self.prober.wait_idle()
            self.clock.advance(step_s)

    def condition(self, ip: str) -> PathCondition | None:
        state = self.board.of(Path("direct", ip, 25, encrypted=True))
        return None if state is None else state.condition

    def addresses(self, *last: int) -> list[str]:
        return [f"192.0.2.{number}" for number in last]


@pytest.fixture
def net() -> Network:
    return Network()


async def test_a_healthy_path_is_never_tested(net: Network) -> None:
    net.census.met(route("google", "tea.example", *net.addresses(1, 2)))
    net.saw("192.0.2.1", Sign.ANSWERED)
    net.saw("192.0.2.1", Sign.BUSY)  # it answers: no test could tell more
    await net.run(3600)
    assert net.tested == []


async def test_silence_of_one_address_has_the_others_tested_at_once(net: Network) -> None:
    ips = net.addresses(1, 2, 3, 4, 5)
    net.census.met(route("google", "tea.example", *ips))
    net.does = dict.fromkeys(ips, Sign.SILENT)
    net.saw("192.0.2.1", Sign.SILENT)
    await net.run(0.5)
    assert {ip for _, ip in net.tested} == set(ips[1:])
    assert all(at == 0.0 for at, _ in net.tested)
    assert {state.failures for state in net.board.of_group("google")} == {1}
    await net.run(5)
    conditions = {state.condition for state in net.board.of_group("google")}
    assert conditions == {PathCondition.BLOCKED}


async def test_an_address_that_just_answered_is_not_tested_beside_a_silent_one(
    net: Network,
) -> None:
    net.census.met(route("google", "tea.example", *net.addresses(1, 2, 3)))
    net.saw("192.0.2.2", Sign.ANSWERED)
    net.saw("192.0.2.1", Sign.SILENT)
    await net.run(0.5)
    assert [ip for _, ip in net.tested] == ["192.0.2.3"]


async def test_addresses_of_ipv6_are_not_tested_where_there_is_none(net: Network) -> None:
    net.census.met(route("google", "tea.example", "192.0.2.1", "2001:db8::1", "192.0.2.2"))
    net.prober.has_ipv6 = False
    net.saw("192.0.2.1", Sign.SILENT)
    await net.run(0.5)
    assert [ip for _, ip in net.tested] == ["192.0.2.2"]


async def test_a_servers_refusal_to_talk_has_nothing_tested(net: Network) -> None:
    net.census.met(route("google", "tea.example", *net.addresses(1, 2, 3)))
    net.saw("192.0.2.1", Sign.UNWELCOME)
    net.saw("192.0.2.1", Sign.THROTTLED)
    await net.run(600)
    assert net.tested == []


async def test_one_failure_is_confirmed_at_once(net: Network) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(3)
    assert net.condition("192.0.2.1") is PathCondition.BLOCKED
    assert [at for at, _ in net.tested] == [0.5]  # the first turn after that


async def test_a_blocked_path_is_tested_more_and_more_seldom_up_to_half_an_hour(
    net: Network,
) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(12 * 3600, step_s=1.0)
    times = [at for at, _ in net.tested]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(11 <= gap <= 2161 for gap in gaps)
    assert gaps[1] < 20
    assert all(1440 <= gap <= 2161 for gap in gaps[-10:])
    assert len(times) < 60


async def test_a_path_that_answers_again_is_healthy_after_three_tests(net: Network) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(60)
    assert net.condition("192.0.2.1") is PathCondition.BLOCKED
    net.does = {}
    await net.run(60)
    assert net.condition("192.0.2.1") is None
    before = len(net.tested)
    await net.run(3600)
    assert len(net.tested) == before


async def test_a_path_that_fails_every_second_time_is_never_healthy(net: Network) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(5)
    for number in range(20):
        net.does = {"192.0.2.1": Sign.ANSWERED if number % 2 else Sign.REFUSED}
        before = len(net.tested)
        while len(net.tested) == before:
            await net.run(1)
        assert net.condition("192.0.2.1") in {PathCondition.BLOCKED, PathCondition.PROBING}


async def test_a_path_that_no_mail_needs_is_forgotten_after_a_week(net: Network) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(8 * 86_400, step_s=60.0)
    assert net.condition("192.0.2.1") is None
    before = len(net.tested)
    await net.run(86_400, step_s=60.0)
    assert len(net.tested) == before


async def test_what_mail_goes_round_is_not_forgotten(net: Network) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    for _ in range(10):
        await net.run(86_400, step_s=120.0)
        net.board.needed("google")
    assert net.condition("192.0.2.1") is PathCondition.BLOCKED


async def test_what_no_test_can_tell_is_left_to_mail(net: Network) -> None:
    for _ in range(3):
        net.saw("192.0.2.1", Sign.LOCKED_OUT)
        net.clock.advance(1)
    assert net.condition("192.0.2.1") is PathCondition.BLOCKED
    await net.run(1000, step_s=5.0)
    assert net.tested == []
    assert net.condition("192.0.2.1") is None


async def test_a_test_has_no_login_and_the_tls_of_its_path(net: Network) -> None:
    net.prober.egress_of = lambda name: Egress(name, "198.51.100.7", "mx.host.example", "u", "p")
    net.does = {"192.0.2.1": Sign.TLS_BROKEN}
    net.saw("192.0.2.1", Sign.TLS_BROKEN)
    net.saw("192.0.2.2", Sign.RESET, encrypted=False)
    await net.run(3)
    egress = Egress("direct", "198.51.100.7", "mx.host.example")
    assert {way.egress for way in net.ways} == {egress}
    policies = {way.target.ip: way.target.tls.policy for way in net.ways}
    assert policies == {"192.0.2.1": TlsPolicy.OPPORTUNISTIC, "192.0.2.2": TlsPolicy.NEVER}


async def test_a_path_of_an_egress_that_is_gone_is_not_tested(net: Network) -> None:
    net.prober.egress_of = lambda _: None
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(60)
    assert net.tested == []


async def test_what_another_worker_has_claimed_is_left_to_it(net: Network) -> None:
    path = Path("direct", "192.0.2.1", 25, encrypted=True)
    net.leases[path] = net.clock.now() + 1800
    net.saw("192.0.2.1", Sign.REFUSED)
    net.clock.advance(1)
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(600)
    assert net.tested == []


async def test_where_the_file_cannot_be_read_it_tests_all_the_same(net: Network) -> None:
    net.is_readable = False
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(3)
    assert len(net.tested) == 1


async def test_tests_have_a_bounded_rate_whatever_is_blocked() -> None:
    net = Network(workers=2)
    for number in range(2000):
        ip = f"198.51.{number // 250}.{number % 250}"
        net.does[ip] = Sign.REFUSED
        net.saw(ip, Sign.REFUSED, group=f"g{number}.example")
    await net.run(60)
    assert len(net.tested) <= 10 + 150 + 2
    assert len(net.tested) >= 140


async def test_a_bug_in_a_test_ends_no_others_and_is_not_met_every_second(net: Network) -> None:
    met: list[Way] = []

    async def broken(way: Way) -> None:
        met.append(way)
        raise RuntimeError

    net.prober.probe = broken
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(30)
    assert 1 <= len(met) <= 3
    net.prober.probe = net.probe
    await net.run(60)
    assert net.tested


async def test_it_sleeps_until_something_changes() -> None:
    net = Network()
    task = asyncio.get_running_loop().create_task(net.prober.keep_probing())
    await asyncio.sleep(0)
    net.saw("192.0.2.1", Sign.REFUSED)
    net.clock.advance(2)
    await until(lambda: bool(net.tested))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await net.prober.close()


async def test_a_group_is_tested_when_somebody_asks_however_well_it_seems() -> None:
    net = Network()
    net.census.met(route("google", "tea.example", "192.0.2.1", "192.0.2.2"))
    await net.prober.turn()
    assert net.tested == []
    net.prober.ask("google", "direct")
    await net.prober.turn()
    await net.prober.wait_idle()
    assert sorted(ip for _, ip in net.tested) == ["192.0.2.1", "192.0.2.2"]
    net.clock.advance(60)
    await net.prober.turn()
    assert len(net.tested) == 2, "once"


async def test_what_answered_before_the_trouble_is_tested_and_what_answered_since_is_not(
    net: Network,
) -> None:
    net.census.met(route("google", "tea.example", *net.addresses(1, 2, 3)))
    net.saw("192.0.2.2", Sign.ANSWERED)
    net.clock.advance(1)
    net.saw("192.0.2.3", Sign.ANSWERED)
    net.saw("192.0.2.1", Sign.REFUSED)
    net.does = {"192.0.2.1": Sign.REFUSED}
    await net.prober.turn()
    await net.prober.wait_idle()
    assert [ip for _, ip in net.tested] == ["192.0.2.2"]


async def test_when_an_address_is_blocked_the_others_are_asked_again(net: Network) -> None:
    net.census.met(route("google", "tea.example", *net.addresses(1, 2, 3)))
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(5)
    assert net.condition("192.0.2.1") is PathCondition.BLOCKED
    blocked = net.board.of(Path("direct", "192.0.2.1", 25, encrypted=True))
    assert blocked is not None
    for path in (Path("direct", ip, 25, encrypted=True) for ip in net.addresses(2, 3)):
        assert net.board.answers(path, blocked.since)


async def test_an_address_that_no_mail_needed_for_a_day_is_tested_ever_more_seldom(
    net: Network,
) -> None:
    net.does = {"192.0.2.1": Sign.REFUSED}
    net.saw("192.0.2.1", Sign.REFUSED)
    await net.run(86_400, step_s=10.0)
    before = len(net.tested)
    await net.run(5 * 86_400, step_s=60.0)
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(net.tested[before:])]
    assert len(gaps) <= 10
    assert gaps[-1] > 6 * 3600
    net.saw("192.0.2.1", Sign.REFUSED)  # mail comes
    before = len(net.tested)
    await net.run(2200, step_s=10.0)
    assert len(net.tested) > before


class Mute(Network):
    """Tests of ``10.`` take ten seconds and fail."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.hanging: list[tuple[float, asyncio.Event]] = []
        for _ in range(2):
            for number in range(groups):
                ip = f"10.0.{number // 250}.{number % 250}"
                self.saw(ip, Sign.SILENT, group=f"g{number}.example")
            self.clock.advance(5)

    async def probe(self, way: Way) -> None:
        if not way.target.ip.startswith("10."):
            await super().probe(way)
            return
        over = asyncio.Event()
        self.hanging.append((self.clock.monotonic() + 10, over))
        await over.wait()
        self.saw(way.target.ip, Sign.SILENT, is_probe=True, group=way.group)

    async def step(self, seconds: float) -> None:
        self.clock.advance(seconds)
        now = self.clock.monotonic()
        for at, over in self.hanging:
            if now >= at:
                over.set()
        self.hanging = [one for one in self.hanging if now < one[0]]
        for _ in range(4):
            await asyncio.sleep(0)
        await self.prober.turn()
        for _ in range(4):
            await asyncio.sleep(0)

    def times(self, ip: str) -> list[float]:
        return [at for at, tested in self.tested if tested == ip]


async def test_eight_thousand_dead_addresses_keep_no_relayed_group_waiting() -> None:
    net = Mute(8000)
    ips = net.addresses(1, 2, 3)
    net.census.met(route("google", "tea.example", *ips))
    for _ in range(2):
        for ip in ips:
            net.saw(ip, Sign.SILENT)
        net.clock.advance(5)
    net.does = dict.fromkeys(ips, Sign.SILENT)
    for _ in range(300):
        await net.step(2)
    assert len(net.hanging) == 15, "the dead have the slots that are not kept for others"
    for _ in range(2):
        asked_at = net.clock.monotonic()
        net.board.needed("google")
        net.prober.ask("google", "direct")
        for _ in range(900):
            await net.step(2)
        assert all(any(asked_at <= at < asked_at + 1800 for at in net.times(ip)) for ip in ips)
    await net.prober.close()


async def test_a_group_that_mail_found_blocked_is_tested_before_those_long_dead() -> None:
    net = Mute(8000)
    for _ in range(600):
        await net.step(2)
    began = net.clock.monotonic()
    for _ in range(2):
        net.saw("192.0.2.1", Sign.SILENT)
        net.clock.advance(2)
    for _ in range(60):
        await net.step(2)
    assert net.times("192.0.2.1")
    assert net.times("192.0.2.1")[0] - began < 60
    assert net.condition("192.0.2.1") is None, "and it is healthy"
    await net.prober.close()


async def test_who_answers_again_is_healthy_within_a_minute_beside_thousands_of_dead() -> None:
    net = Mute(3000)
    for _ in range(100):
        await net.step(2)
    for _ in range(2):
        net.saw("192.0.2.1", Sign.SILENT)
        net.clock.advance(5)
    net.saw("192.0.2.1", Sign.ANSWERED)  # mail got through
    for _ in range(30):
        await net.step(2)
    assert net.condition("192.0.2.1") is None
    await net.prober.close()


async def test_a_turn_costs_what_it_begins_and_not_what_waits() -> None:
    net = Mute(20_000)
    net.clock.advance(2000)
    for _ in range(30):
        await net.prober.turn()
    began = time.process_time()
    for _ in range(100):
        await net.prober.turn()
    assert time.process_time() - began < 0.1  # a millisecond each; sorting took some thirty
    await net.prober.close()
