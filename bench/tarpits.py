"""``python -m bench.tarpits``: healthy mail's delay while others stand still (story S10).

200 tarpits in 200 groups (half say a byte a second, half are silent after the connection) and one
group that drops every packet with 10,000 messages waiting for it. Healthy mail comes at half the
rate that the same server can do; how late it arrives is compared with and without the others.
Postfix, as Debian installs it and tuned, in the same run.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from bench.reached import Reached
from bench.slow_world import BLACK_HOLE, CONTROL, SINK, tarpit_ip
from bench.steady import Load, send
from scripts.compile import FOLDER, SOURCES, is_current
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternSettings, postern
from tests.peers.postfix import PostfixSettings, postfix
from tests.peers.process import Server, free_port, short_folder, wait_until

TARPITS = 200
PER_TARPIT = 5
BLACK_HOLED = 10_000
SECONDS = 20.0
HEALTHY = ("a@well.test", "b@well.test", "c@well.test")
MAX_TIMES = 1.2
MAX_MORE_S = 0.05
LATE_S = 30.0
"""So long after the last was sent, what has not arrived counts as not arrived."""
FASTEST_COUNT = 3_000

# What an administrator would turn who knows of tarpits: more processes, shorter waits, and no more
# than two connections to whoever does not answer.
POSTFIX_TUNED = {
    "default_process_limit": "500",
    "initial_destination_concurrency": "2",
    "default_destination_concurrency_limit": "20",
    "default_destination_concurrency_failed_cohort_limit": "1",
    "smtp_connect_timeout": "5s",
    "smtp_helo_timeout": "15s",
    "smtp_connection_cache_on_demand": "yes",
    "in_flow_delay": "0",
    "qmgr_message_active_limit": "40000",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    tarpits: int = TARPITS
    black_holed: int = BLACK_HOLED
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server; ``start(world_port, tarpits)`` gives the port it takes mail at."""

    name: str
    start: Callable[[int, int], AbstractContextManager[int]]


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from when a message was due to its arrival, at half the fastest ``rate``."""

    rate: float
    sent: int
    arrived: list[float]

    def percentile(self, share: float) -> float:
        """That share of what was sent had arrived by then; infinite where it had not."""
        place = int(self.sent * share)
        times = sorted(self.arrived)
        return times[place] if place < len(times) else float("inf")


class World:
    """The mail hosts of ``bench.slow_world``."""

    def __init__(self, port: int) -> None:
        self.port = port

    def _ask(self, words: str) -> object:
        with socket.create_connection((CONTROL, self.port), 30) as asking:
            asking.sendall(words.encode() + b"\n")
            with asking.makefile("rb") as answer:
                return json.loads(answer.read())

    def count(self, kind: str) -> int:
        """Messages of a kind that have arrived."""
        found = self._ask("counts")
        assert isinstance(found, dict)
        return int(found.get(kind, 0))

    def times(self, kind: str) -> list[float]:
        """The delay of each of them."""
        found = self._ask(f"times {kind}")
        assert isinstance(found, list)
        return found


@contextmanager
def world(tarpits: int) -> Iterator[World]:
    """All mail hosts, on one port."""
    with short_folder() as folder:
        port = free_port(SINK)
        command = [sys.executable, "-m", "bench.slow_world", str(port), str(tarpits)]
        with Server("slow world", command, folder / "world.log") as server:
            server.wait_for_greeting(port, b"220 ", SINK)
            yield World(port)


def zones(tarpits: int) -> dict[str, str]:
    """A domain, and a group, for each."""
    hosts = {f"tar{n}.test": tarpit_ip(n) for n in range(tarpits)}
    hosts |= {"well.test": SINK, "hole.test": BLACK_HOLE}
    return {zone: f"@ MX 10 mx\nmx A {ip}" for zone, ip in hosts.items()}


def postern_contestant(name: str, code: Path) -> Contestant:
    """Postern with all its defaults but the port of mail hosts."""

    @contextmanager
    def start(port: int, tarpits: int) -> Iterator[int]:
        with NsdServer(zones(tarpits)) as dns:
            settings = PosternSettings(
                hostname="postern.test",
                workers=0,
                resolver=dns.address,
                environment={"PYTHONPATH": str(code)},
                listeners=(Listening("mx", extra='relay_from = ["127.0.0.0/8"]'),),
                tables=(
                    ("delivery", f"port = {port}"),
                    ("limits", "connections_per_address = 1000"),
                ),
            )
            with postern(settings) as server:
                yield server.port()

    return Contestant(name, start)


def postfix_contestant(*, tuned: bool) -> Contestant:
    """Postfix as Debian installs it, or tuned; a transport for each domain in place of DNS."""

    @contextmanager
    def start(port: int, tarpits: int) -> Iterator[int]:
        hosts = {f"tar{n}.test": tarpit_ip(n) for n in range(tarpits)}
        hosts |= {"well.test": SINK, "hole.test": BLACK_HOLE}
        settings = PostfixSettings(
            hostname="postfix.test",
            transports={domain: f"smtp:[{ip}]:{port}" for domain, ip in hosts.items()},
            main_cf={"smtp_tls_security_level": "none", **(POSTFIX_TUNED if tuned else {})},
        )
        with postfix(settings) as peer:
            yield peer.port

    return Contestant("Postfix tuned" if tuned else "Postfix", start)


def measure_one(contestant: Contestant, sizes: Sizes) -> tuple[Delays, Delays]:
    """Healthy mail's delays without the others, and with them."""
    with world(sizes.tarpits) as hosts, contestant.start(hosts.port, sizes.tarpits) as port:
        rate = fastest(hosts, port) / 2
        before = steady(hosts, port, "before", rate, sizes.seconds)
        others = [f"u{n % 7}@tar{n}.test" for n in range(sizes.tarpits)]
        uvloop.run(send(port, Load("tar", tuple(others), PER_TARPIT * sizes.tarpits)))
        uvloop.run(send(port, Load("hole", ("u@hole.test",), sizes.black_holed)))
        during = steady(hosts, port, "during", rate, sizes.seconds)
    return before, during


def fastest(hosts: World, port: int) -> float:
    """Messages a second that the server relays when it has nothing else to do."""
    uvloop.run(send(port, Load("warm", HEALTHY, 200)))
    wait_until(lambda: hosts.count("warm") == 200, "the first 200", within_s=60)
    begin = time.monotonic()
    uvloop.run(send(port, Load("fast", HEALTHY, FASTEST_COUNT)))
    wait_until(lambda: hosts.count("fast") == FASTEST_COUNT, "all of them", within_s=120)
    return FASTEST_COUNT / (time.monotonic() - begin)


def steady(hosts: World, port: int, kind: str, rate: float, seconds: float) -> Delays:
    """Healthy mail at a rate for some seconds."""
    count = max(200, int(rate * seconds))
    uvloop.run(send(port, Load(kind, HEALTHY, count, rate), sessions=50))
    give_up = time.monotonic() + LATE_S
    while hosts.count(kind) < count and time.monotonic() < give_up:
        time.sleep(0.2)
    return Delays(rate, count, hosts.times(kind))


def judged(name: str, before: Delays, during: Delays) -> list[Reached]:
    """The lines of one contestant; only Postern has a bound."""
    calm, late = before.percentile(0.99), during.percentile(0.99)
    most = max(calm * MAX_TIMES, calm + MAX_MORE_S) * 1000 if name.startswith("Postern") else None
    middle = statistics.median(during.arrived) * 1000 if during.arrived else float("inf")
    lost = during.sent - len(during.arrived)
    note = f"median {middle:,.0f} ms"
    if lost:
        note += f"; {lost:,} of {during.sent:,} had not arrived {LATE_S:.0f} s after the last"
    alone = f"at {before.rate:,.0f}/s; median {statistics.median(before.arrived) * 1000:,.0f} ms"
    return [
        Reached(f"{name}: p99 delay, alone", calm * 1000, "ms", None, alone),
        Reached(f"{name}: p99 delay, beside tarpits", late * 1000, "ms", most, note),
    ]


def contestants(code: Path) -> list[Contestant]:
    """Postern, Postfix and Postfix tuned."""
    return [
        postern_contestant("Postern", code),
        postfix_contestant(tuned=False),
        postfix_contestant(tuned=True),
    ]


def tarpits(sizes: Sizes = Sizes(), *, only: str = "", code: Path | None = None) -> list[Reached]:
    """All of them, one after the other."""
    found = []
    for contestant in contestants(code or (FOLDER if is_current() else SOURCES.parent)):
        if only in contestant.name:
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {contestant.name}\n")
            found += judged(contestant.name, *measure_one(contestant, sizes))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.tarpits", description=__doc__)
    parser.add_argument("--only", default="", help="contestants whose name contains this")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load (20)")
    parser.add_argument("--black-holed", type=int, default=BLACK_HOLED, help="waiting (10,000)")
    parser.add_argument("--code", type=Path, help="folder of another Postern's package")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    sizes = Sizes(black_holed=options.black_holed, seconds=options.seconds)
    found = tarpits(sizes, only=options.only, code=options.code)
    print("\n".join(reached.line() for reached in found))
    return 0 if all(reached.is_good for reached in found) else 1


if __name__ == "__main__":
    sys.exit(main())
