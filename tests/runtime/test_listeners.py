import socket
from pathlib import Path

import pytest

from postern.runtime.listeners import CannotListenError, ListenAt, bind_all


def test_port_0_takes_a_free_port() -> None:
    first, second = bind_all([ListenAt("127.0.0.1", 0), ListenAt("127.0.0.1", 0)])
    assert 0 < first.socket.getsockname()[1] != second.socket.getsockname()[1]
    first.close()
    second.close()


def test_port_is_not_shared_with_a_second_postern() -> None:
    first = bind_all([ListenAt("127.0.0.1", 0)])[0]
    port = first.socket.getsockname()[1]
    with pytest.raises(CannotListenError, match="another program listens there"):
        bind_all([ListenAt("127.0.0.1", port)])
    first.close()


def test_ipv6_any_leaves_the_port_of_ipv4_free() -> None:
    six = bind_all([ListenAt("::1", 0)])[0]
    port = six.socket.getsockname()[1]
    four = bind_all([ListenAt("127.0.0.1", port)])[0]
    four.close()
    six.close()


def test_taken_port_frees_those_bound_before() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = bind_all([ListenAt("127.0.0.1", 0)])[0]
        port = free.socket.getsockname()[1]
        free.close()
        places = [
            ListenAt("127.0.0.1", port),
            ListenAt("127.0.0.1", other.getsockname()[1], None, "listener[2].bind"),
        ]
        with pytest.raises(CannotListenError, match=r"^listener\[2\]\.bind: .*another program"):
            bind_all(places)
        bind_all([ListenAt("127.0.0.1", port)])[0].close()


def test_address_of_another_machine_is_named_so() -> None:
    with pytest.raises(CannotListenError, match="this machine does not have that address"):
        bind_all([ListenAt("192.0.2.1", 0)])


def test_unix_socket_is_open_to_all_users(tmp_path: Path) -> None:
    path = tmp_path / "submit.sock"
    bound = bind_all([ListenAt(path=path)])[0]
    assert path.stat().st_mode & 0o777 == 0o666
    bound.close()
    assert not path.exists()


def test_unix_socket_of_a_living_server_is_not_taken(tmp_path: Path) -> None:
    first = bind_all([ListenAt(path=tmp_path / "s")])[0]
    try:
        with pytest.raises(CannotListenError, match="another program listens there"):
            bind_all([ListenAt(path=tmp_path / "s")])
        assert (tmp_path / "s").exists()
    finally:
        first.close()


def test_file_in_the_place_of_a_socket_is_kept(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(CannotListenError, match="no socket"):
        bind_all([ListenAt(path=tmp_path / "s")])
    assert (tmp_path / "s").read_text() == "mine"
