import socket
from pathlib import Path

import pytest

from postern.runtime.listeners import CannotListenError, ListenAt, bind_all


def test_port_0_gives_all_workers_one_port() -> None:
    bound = bind_all([ListenAt("127.0.0.1", 0)], 3)[0]
    try:
        assert len({sock.getsockname() for sock in bound.sockets}) == 1
        assert bound.sockets[0].getsockname()[1] > 0
        assert bound.for_worker(2) is bound.sockets[2]
    finally:
        bound.close()


def test_ipv6_any_leaves_the_port_of_ipv4_free() -> None:
    six = bind_all([ListenAt("::1", 0)], 1)[0]
    port = six.sockets[0].getsockname()[1]
    four = bind_all([ListenAt("127.0.0.1", port)], 1)[0]
    four.close()
    six.close()


def test_taken_port_frees_those_bound_before() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = bind_all([ListenAt("127.0.0.1", 0)], 1)[0]
        port = free.sockets[0].getsockname()[1]
        free.close()
        places = [
            ListenAt("127.0.0.1", port),
            ListenAt("127.0.0.1", other.getsockname()[1], None, "listener[2].bind"),
        ]
        with pytest.raises(CannotListenError, match=r"^listener\[2\]\.bind: .*another program"):
            bind_all(places, 2)
        bind_all([ListenAt("127.0.0.1", port)], 1)[0].close()


def test_address_of_another_machine_is_named_so() -> None:
    with pytest.raises(CannotListenError, match="this machine does not have that address"):
        bind_all([ListenAt("192.0.2.1", 0)], 1)


def test_unix_socket_is_one_for_all_workers_and_open_to_all_users(tmp_path: Path) -> None:
    path = tmp_path / "submit.sock"
    bound = bind_all([ListenAt(path=path)], 4)[0]
    assert bound.for_worker(0) is bound.for_worker(3)
    assert path.stat().st_mode & 0o777 == 0o666
    bound.close()
    assert not path.exists()


def test_unix_socket_of_a_living_server_is_not_taken(tmp_path: Path) -> None:
    first = bind_all([ListenAt(path=tmp_path / "s")], 1)[0]
    try:
        with pytest.raises(CannotListenError, match="another program listens there"):
            bind_all([ListenAt(path=tmp_path / "s")], 1)
        assert (tmp_path / "s").exists()
    finally:
        first.close()


def test_file_in_the_place_of_a_socket_is_kept(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(CannotListenError, match="no socket"):
        bind_all([ListenAt(path=tmp_path / "s")], 1)
    assert (tmp_path / "s").read_text() == "mine"
