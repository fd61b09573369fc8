"""Our own user's mail: sent message by message, or as a steady flow while things happen."""

import itertools
import smtplib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.lab.namespace import Namespace

ALICE = "alice@home.example"
SECRET = "Nobody on the way may read this line."
"""In every message's body: what a wire must not show."""
LOOPBACK = "127.0.0.1"

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was accepted: ``at`` is the time of day of the 250, ``code`` its trace."""

    message_id: str
    to: str
    at: float
    code: str


class _Client(smtplib.SMTP):
    """smtplib, with a socket of another namespace."""

    def __init__(self, space: Namespace, port: int) -> None:
        self._space = space
        super().__init__(LOOPBACK, port, "desk.home.example", timeout=30)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._space.connect(host, port, timeout_s=timeout)


class Sender:
    """One connection to Postern from a program at home that it trusts (``relay_from``).

    Made when it is first needed; leaving hangs up.
    """

    def __init__(self, space: Namespace, port: int) -> None:
        self._space, self._port = space, port
        self._client: _Client | None = None

    def send(self, to: str, *, header: str = "", mail_options: Sequence[str] = ()) -> Sent:
        """Hand in one message.

        Args:
            to: its one recipient.
            header: further lines of its header, each with its end.
            mail_options: parameters of MAIL, such as ``REQUIRETLS``.
        """
        if self._client is None:
            self._client = _Client(self._space, self._port)
            self._client.ehlo("desk.home.example")
        message_id = f"<lab-{next(_numbers)}-{time.time_ns()}@home.example>"
        text = (
            f"From: Alice <{ALICE}>\r\nTo: <{to}>\r\nSubject: Offer 2026-118\r\n"
            f"Date: {_date()}\r\nMessage-ID: {message_id}\r\n{header}\r\n{SECRET}\r\n"
        )
        client = self._client
        code, reply = client.mail(ALICE, list(mail_options))
        assert code == 250, reply
        code, reply = client.rcpt(to)
        assert code == 250, reply
        code, reply = client.data(text)
        assert code == 250, reply
        return Sent(message_id, to, time.time(), reply.decode().rsplit(" ", 1)[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())


@dataclass
class Flow:
    """A steady stream of messages; ``sent`` grows while it runs."""

    sender: Sender
    recipients: Sequence[str]
    every_s: float
    sent: list[Sent] = field(default_factory=list)
    failure: Exception | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send to each recipient in turn until it is over."""
        try:
            for recipient in itertools.cycle(self.recipients):
                if self._over.wait(self.every_s):
                    return
                self.sent.append(self.sender.send(recipient))
        except (OSError, smtplib.SMTPException, AssertionError) as error:
            self.failure = error

    def end(self) -> list[Sent]:
        """Stop; returns what was sent."""
        self._over.set()
        assert self.failure is None, self.failure
        return self.sent


@contextmanager
def flowing(
    space: Namespace, port: int, recipients: Sequence[str], *, every_s: float
) -> Iterator[Flow]:
    """Mail flows to these recipients in turn, one message ``every_s``, while this lasts."""
    sender = Sender(space, port)
    flow = Flow(sender, recipients, every_s)
    thread = threading.Thread(target=flow.run)
    thread.start()
    try:
        yield flow
        flow.end()
    finally:
        flow._over.set()
        thread.join()
        sender.close()
