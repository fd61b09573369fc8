import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from postern.diagnosis import doctor_network
from postern.diagnosis.doctor_network import (
    Reply,
    ask,
    examine_console,
    examine_ports,
    judge_dane,
    judge_port,
    judge_resolver,
    system_servers,
    try_to_bind,
)
from postern.diagnosis.doctor_results import Door, Grade, NamedServer, Site
from postern.runtime.clock import SystemClock

DOOR = Door("listener[1].bind", "127.0.0.1:25", "127.0.0.1", 25)


@contextmanager
def dns_server(rcode: dns.rcode.Rcode) -> Iterator[NamedServer]:
    """A DNS server that answers one question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)

        def answer() -> None:
            wire, caller = server.recvfrom(4096)
            reply = dns.message.make_response(dns.message.from_wire(wire))
            reply.set_rcode(rcode)
            server.sendto(reply.to_wire(), caller)

        thread = threading.Thread(target=answer)
        thread.start()
        yield NamedServer("home", "127.0.0.1", server.getsockname()[1], "udp", 20.0)
        thread.join()


@pytest.mark.parametrize(
    ("rcode", "grade"),
    [
        (dns.rcode.NOERROR, Grade.OK),
        (dns.rcode.REFUSED, Grade.WARNING),
        (dns.rcode.SERVFAIL, Grade.COULDNT_TELL),
    ],
)
def test_resolver_is_asked_and_its_answer_judged(rcode: dns.rcode.Rcode, grade: Grade) -> None:
    with dns_server(rcode) as server:
        reply = ask(server, SystemClock())
    assert isinstance(reply, Reply)
    assert judge_resolver(server, reply, is_any_answering=True).grade is grade


def test_silent_resolver_is_couldnt_tell_unless_another_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = NamedServer("home", "127.0.0.1", silent.getsockname()[1], "udp", 0.05)
        reply = ask(server, SystemClock())
    assert reply == "no answer in 0.05 s"
    alone = judge_resolver(server, reply, is_any_answering=False)
    assert (alone.grade, alone.whose) == (Grade.COULDNT_TELL, "between")
    assert judge_resolver(server, reply, is_any_answering=True).grade is Grade.WARNING


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_resolver_that_refuses_connections_is_told_so(transport: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = NamedServer("home", "127.0.0.1", closed.getsockname()[1], transport, 5.0)
        assert isinstance(ask(server, SystemClock()), str)


@pytest.mark.parametrize(
    ("host", "trusted", "reply", "grade", "words"),
    [
        ("127.0.0.1", None, Reply("NOERROR", 0.1, is_validated=True), Grade.OK, "validates"),
        ("127.0.0.1", None, Reply("NOERROR", 0.1), Grade.WARNING, "does not validate"),
        (
            "192.0.2.53",
            None,
            Reply("NOERROR", 0.1, is_validated=True),
            Grade.WARNING,
            "not on this machine",
        ),
        ("192.0.2.53", True, Reply("NOERROR", 0.1, is_validated=True), Grade.OK, "validates"),
        ("192.0.2.53", True, Reply("NOERROR", 0.1), Grade.WARNING, "does not validate"),
        ("127.0.0.1", False, Reply("NOERROR", 0.1), Grade.OK, "as configured"),
        ("127.0.0.1", None, Reply("REFUSED", 0.1), None, ""),
        ("127.0.0.1", None, "no answer in 3 s", None, ""),
    ],
)
def test_doctor_says_whether_dane_can_protect_mail(
    host: str,
    trusted: bool | None,  # noqa: FBT001 - parametrized
    reply: Reply | str,
    grade: Grade | None,
    words: str,
) -> None:
    server = NamedServer("home", host, 53, "udp", 3.0, trusted)
    results = list(judge_dane([(server, reply)]))
    assert [result.grade for result in results] == ([] if grade is None else [grade])
    assert all(words in result.what and "DANE" in result.what for result in results)


def test_slow_resolver_is_a_warning() -> None:
    server = NamedServer("home", "127.0.0.1", 53, "udp", 5.0)
    assert judge_resolver(server, Reply("NOERROR", 2.0), is_any_answering=True).grade is (
        Grade.WARNING
    )


def test_resolvers_of_the_system_are_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nsearch example\nnameserver 192.0.2.53\nnameserver ::1\n")
    assert [server.host for server in system_servers(path)] == ["192.0.2.53", "::1"]
    assert list(system_servers(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("attempt", "is_running", "is_ours", "grade"),
    [
        (0, False, False, Grade.OK),
        (0, True, False, Grade.PROBLEM),
        (errno.EADDRINUSE, True, True, Grade.OK),
        (errno.EADDRINUSE, True, False, Grade.PROBLEM),
        (errno.EADDRINUSE, False, False, Grade.PROBLEM),
        (errno.EACCES, False, False, Grade.WARNING),
        (errno.EADDRNOTAVAIL, False, False, Grade.PROBLEM),
    ],
)
def test_port_is_judged_by_who_holds_it(
    attempt: int, grade: Grade, *, is_running: bool, is_ours: bool
) -> None:
    assert judge_port(DOOR, attempt, is_running=is_running, is_ours=is_ours).grade is grade


def test_port_of_another_program_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert try_to_bind(Door("x", "x", "127.0.0.1", port)) == errno.EADDRINUSE
    assert try_to_bind(Door("x", "x", "127.0.0.1", port)) == 0


def test_console_is_asked_and_a_silent_or_missing_one_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_network, "CONSOLE_S", 0.2)
    door = Door("console.bind", "127.0.0.1:0", "127.0.0.1", 0)
    assert examine_console(door, tmp_path).grade is Grade.PROBLEM
    with socket.create_server(("127.0.0.1", 0)) as console:
        port = console.getsockname()[1]
        (tmp_path / "console.json").write_text(f'{{"port": {port}}}')
        assert examine_console(door, tmp_path).grade is Grade.PROBLEM  # it accepts, and is silent
        console.accept()[0].close()
        monkeypatch.setattr(doctor_network, "CONSOLE_S", 20.0)

        def answer() -> None:
            connection, _ = console.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert examine_console(door, tmp_path).grade is Grade.OK
        thread.join()
    assert examine_console(door, tmp_path).grade is Grade.PROBLEM


def test_dead_console_of_a_running_server_is_a_problem_among_the_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_network, "is_served", lambda _folder: True)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        door = Door("console.bind", f"127.0.0.1:{port}", "127.0.0.1", port)
        site = Site("", tmp_path, tmp_path, "", 1, (door,), (), (), 0, 0, has_ballast=False)
        (result,) = examine_ports(site)
    assert (result.check, result.grade) == ("port.console.bind", Grade.PROBLEM)
