"""The world is as it says: who reaches whom, and what each kind of cut looks like from home."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.lab import guard
from tests.lab.cuts import How
from tests.lab.namespace import Namespace, run
from tests.lab.wire import recorded
from tests.lab.world import ABROAD, HOME, HOME6, HOME_SECOND, NEEDS, World, mx, world
from tests.peers.process import wait_until

pytestmark = pytest.mark.peers(*NEEDS)

ROOT = Path(__file__).resolve().parents[2]
PORT = 2525
SHORT_S = 0.4
ONE, OTHER = mx(11), mx(12)
ONE6 = "2001:db8:3::11"


@contextmanager
def listening(space: Namespace, family: socket.AddressFamily) -> Iterator[socket.socket]:
    """Something of that family to connect to, on every address of a namespace."""
    with space.open_socket(family) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        door.bind(("::" if family is socket.AF_INET6 else "0.0.0.0", PORT))
        door.listen(50)
        door.settimeout(5)
        yield door


@pytest.fixture(scope="module")
def door(shared_world: World) -> Iterator[socket.socket]:
    with listening(shared_world.world, socket.AF_INET) as door:
        yield door


def met(space: Namespace, door: socket.socket, ip: str = ONE, source: str = "") -> str:
    """What somebody there meets who connects and waits for a greeting, in a word."""
    try:
        client = space.connect(ip, PORT, source=source, timeout_s=SHORT_S)
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "reset"
    except OSError as error:
        return error.strerror or str(error)
    with client:
        server, peer = door.accept()
        with server:
            try:
                server.sendall(f"220 {server.getsockname()[0]} {peer[0]}".encode())
                return client.recv(100).decode()
            except TimeoutError:
                return "connected, silent"
            except ConnectionResetError:
                return "reset"


def drained(door: socket.socket) -> None:
    """Take what a failed try has left in the backlog."""
    door.setblocking(False)
    try:
        while True:
            door.accept()[0].close()
    except BlockingIOError:
        door.settimeout(5)


def test_home_and_abroad_reach_every_address_of_the_world_from_their_own(
    whole: World, door: socket.socket
) -> None:
    for ip in (ONE, OTHER, mx(250)):
        assert met(whole.home, door, ip) == f"220 {ip} {HOME}"
        assert met(whole.abroad, door, ip) == f"220 {ip} {ABROAD}"
    assert met(whole.home, door, ONE, source=HOME_SECOND) == f"220 {ONE} {HOME_SECOND}"


def test_home_reaches_the_world_over_ipv6_until_that_is_cut(whole: World) -> None:
    with listening(whole.world, socket.AF_INET6) as door:
        wait_until(lambda: met(whole.home, door, ONE6) == f"220 {ONE6} {HOME6}", "IPv6", within_s=5)
        whole.cut("home", ONE6)
        assert met(whole.home, door, ONE6) == "silent"


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        (How.DROP, "silent"),
        (How.REFUSE, "refused"),
        (How.RESET, "reset"),
        (How.BLACKHOLE, "connected, silent"),
        (How.UNREACHABLE, "No route to host"),
    ],
    ids=lambda value: value.value if isinstance(value, How) else "",
)
def test_a_cut_looks_from_home_as_it_is_called_and_touches_nobody_else(
    whole: World, door: socket.socket, how: How, seen: str
) -> None:
    whole.cut("home", ONE, how=how)
    assert met(whole.home, door) == seen
    drained(door)
    assert met(whole.home, door, OTHER) == f"220 {OTHER} {HOME}"
    assert met(whole.abroad, door) == f"220 {ONE} {ABROAD}"
    whole.mend(ONE)
    assert met(whole.home, door) == f"220 {ONE} {HOME}"


@pytest.mark.parametrize(
    ("how", "error"),
    [(How.DROP, TimeoutError), (How.BLACKHOLE, TimeoutError), (How.RESET, ConnectionResetError)],
    ids=["drop", "blackhole", "reset"],
)
def test_a_cut_meets_connections_that_stand_already(
    whole: World, door: socket.socket, how: How, error: type[OSError]
) -> None:
    with whole.home.connect(ONE, PORT, timeout_s=SHORT_S) as client, door.accept()[0] as server:
        whole.cut("home", ONE, how=how)
        client.sendall(b"EHLO home")
        server.sendall(b"250 hello")
        with pytest.raises(error):
            client.recv(100)


def test_a_refusing_cut_leaves_connections_that_stand(whole: World, door: socket.socket) -> None:
    with whole.home.connect(ONE, PORT, timeout_s=SHORT_S) as client, door.accept()[0] as server:
        whole.cut("home", ONE, how=How.REFUSE)
        server.sendall(b"250 hello")
        assert client.recv(100) == b"250 hello"


@pytest.mark.parametrize("how", [How.DROP, How.REFUSE], ids=["drop", "refuse"])
def test_a_flaky_path_fails_every_second_connection(
    whole: World, door: socket.socket, how: How
) -> None:
    bad = {How.DROP: "silent", How.REFUSE: "refused"}[how]
    whole.flaky("home", ONE, OTHER, how=how)
    assert [met(whole.home, door) for _ in range(4)] == [bad, f"220 {ONE} {HOME}"] * 2
    assert met(whole.home, door, OTHER) == bad, "each address has a turn of its own"
    assert met(whole.abroad, door) == f"220 {ONE} {ABROAD}"


def test_a_dropped_connection_stays_dropped_when_its_first_packet_comes_again(
    whole: World, door: socket.socket
) -> None:
    whole.flaky("home", ONE)
    with pytest.raises(TimeoutError):
        whole.home.connect(ONE, PORT, timeout_s=1.5)  # the kernel repeats its SYN after 1 s


def test_a_slow_path_takes_longer(whole: World, door: socket.socket) -> None:
    whole.slow("home", ONE, bytes_per_s=50_000)  # a second's worth passes at once
    with whole.home.connect(ONE, PORT, timeout_s=20) as client, door.accept()[0] as server:
        begin = time.monotonic()
        server.sendall(b"x" * 80_000)
        got = 0
        while got < 80_000:
            got += len(client.recv(65536))
        assert time.monotonic() - begin > 0.5


def test_the_wire_shows_words_wherever_they_were_cut(whole: World, door: socket.socket) -> None:
    with (
        recorded(whole.router) as wire,
        whole.home.connect(ONE, PORT) as client,
        door.accept()[0] as server,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in (b"a sec", b"ret li", b"ne"):
            client.sendall(part)
            assert server.recv(100) == part
        server.sendall(b"heard")
        assert client.recv(100) == b"heard"
        wait_until(lambda: bool(wire.carried(b"heard", to=HOME)), "the wire to show the answer")
        assert [flow[2] for flow in wire.carried(b"a secret line")] == [ONE]
        assert wire.carried(b"a secret line", to=OTHER) == []
        assert wire.carried(b"another line") == []


def test_nothing_of_the_machines_own_network_is_touched(whole: World) -> None:
    def network() -> list[str]:
        shown = [run("ip", "-o", what, "show") for what in ("link", "address", "route")]
        return [*shown, run("nft", "list", "ruleset")]

    before = network()
    with world() as other:
        other.cut("home", ONE)
        assert network() == before


def own(pid: int) -> list[str]:
    """The namespaces that a process has made."""
    return [name for name in guard.namespaces() if name.startswith(f"{guard.KIND}-{pid}-")]


@contextmanager
def somebody_elses_world() -> Iterator["subprocess.Popen[str]"]:
    """A process that makes a world with a server in it, and is then killed."""
    code = (
        "import subprocess, time\nfrom tests.lab.world import world\nwith world() as w:\n"
        "    subprocess.Popen([*w.home.wrapper, 'sleep', '300'], start_new_session=True)\n"
        "    print('up', flush=True)\n    time.sleep(300)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_world_ends_with_its_test_even_by_sigkill(whole: World) -> None:
    with somebody_elses_world() as process:
        names = own(process.pid)
        assert len(names) == 4
        home = next(name for name in names if name.endswith("home"))
        wait_until(lambda: len(guard.inhabitants(home)) == 1, "its server to have moved in")
        (sleeper,) = guard.inhabitants(home)
        process.kill()
        process.wait()
        wait_until(lambda: not own(process.pid), "the guard to remove its namespaces")
    assert guard.started(sleeper) == "", "it does not run any more"


def test_what_a_killed_guard_has_left_the_next_world_sweeps(whole: World) -> None:
    with somebody_elses_world() as process:
        names = own(process.pid)
        guards = subprocess.run(
            ["pgrep", "-f", f"tests.lab.guard {guard.KIND}-{process.pid}-"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        for pid in guards.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        process.kill()
        process.wait()
        assert own(process.pid) == names, "nobody is left to remove them"
        with world():
            assert own(process.pid) == []
            assert guard.inhabitants(whole.router.name) == []
            assert Path("/run/netns", whole.router.name).exists(), "a living test's world stays"
