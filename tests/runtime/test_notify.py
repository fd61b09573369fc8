import os
import socket
from pathlib import Path

import pytest

from postern.runtime.notify import Notifier


def test_ready_goes_to_a_socket_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).ready("serving")
        assert manager.recv(1024) == b"READY=1\nSTATUS=serving"


def test_ready_goes_to_an_abstract_socket() -> None:
    name = f"postern-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert manager.recv(1024).startswith(b"STOPPING=1\n")


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nonexistent/notify"])
def test_no_manager_is_no_error(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).ready("serving")


def test_watchdog_is_fed_twice_in_its_time() -> None:
    notifier = Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000"})
    assert notifier.watchdog_interval_s == 15.0


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "/x"},
        {"WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
    ],
)
def test_watchdog_is_left_alone_when_it_is_not_ours(environment: dict[str, str]) -> None:
    assert Notifier(environment).watchdog_interval_s is None
