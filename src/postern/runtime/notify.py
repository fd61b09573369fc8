"""Tells systemd how we are: READY, RELOADING, STOPPING, WATCHDOG (sd_notify(3))."""

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends state to ``$NOTIFY_SOCKET``; does nothing where there is none.

    A message that cannot be sent is dropped: the service manager then thinks worse of us than we
    are, which is no reason to stop serving mail.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_usec = environment.get("WATCHDOG_USEC", "")
        self._watchdog_pid = environment.get("WATCHDOG_PID", "")

    @property
    def watchdog_interval_s(self) -> float | None:
        """How often to call ``alive``: half of what the manager asks for; None when it does not."""
        if not self._address or not self._watchdog_usec.isdigit():
            return None
        if self._watchdog_pid and self._watchdog_pid != str(os.getpid()):
            return None
        return int(self._watchdog_usec) / 2_000_000 or None

    def ready(self, status: str) -> None:
        """All is up; also the end of a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins (Type=notify-reload wants the time with it)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The stop has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address[:1] not in ("/", "@"):
            return
        # A leading @ stands for the NUL byte of an abstract socket (unix(7)).
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(message.encode(), address)
            except OSError:
                return
