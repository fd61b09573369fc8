"""Drives the client machine with whatever a peer might send, and watches what it promises.

Shared by the hypothesis target and the atheris one.
"""

from postern.mail.address import Address
from postern.mail.envelope import BodyType, Notify, Recipient, Sender
from postern.mail.outcome import Cause, Delivered
from postern.mail.route import TlsPolicy
from postern.mail.smtp.client import ClientMachine, Want
from postern.mail.smtp.client_auth import Login
from postern.mail.smtp.client_mail import Mail
from postern.mail.smtp.client_opening import ClientConfig

MAX_HELD_BYTES = 2048 + 100 * 2100
"""One unfinished reply: a hundred lines of two kilobytes, and an unfinished one."""

CONTENTS = (b"", b"Subject: x\r\n\r\n.\r\n", b"\n.\nMAIL FROM:<>\r.\r", b"x" * 3000, "é\r".encode())


class Watched:
    """A machine with everything it sent, as the peer sees it."""

    def __init__(self, choice: int) -> None:
        self.lmtp = bool(choice & 1)
        self.streamed = bool(choice & 2)
        self.recipients = tuple(
            Recipient(Address(local, "x.test"), notify=Notify.SUCCESS if choice & 4 else None)
            for local in ("a", "b", "zoë" if choice & 8 else "c")
        )
        self.data = CONTENTS[choice // 16 % len(CONTENTS)]
        self.sender = Sender(
            Address("s", "x.test"),
            body=BodyType.EIGHT_BIT if choice & 256 else BodyType.SEVEN_BIT,
            smtputf8=bool(choice & 8),
        )
        self.machine = ClientMachine(
            ClientConfig(
                helo="us.test",
                remote="peer",
                tls=TlsPolicy.OPPORTUNISTIC if choice & 512 else TlsPolicy.NEVER,
                lmtp=self.lmtp,
                login=Login("u", "p") if choice & 1024 else None,
                clear_auth=True,
            )
        )
        self.sent = b""
        self.message_ended = False
        self.streamed_to = 0
        self.running = False
        self.finished = 0

    def feed(self, octets: bytes) -> None:
        """Octets from the peer, then whatever a connection would do next."""
        said_before_end = not self.message_ended
        self.emit(self.machine.receive(octets))
        self.check(may_deliver=not said_before_end)
        self.act()

    def emit(self, octets: bytes) -> None:
        """Something goes on the wire: no bare CR, no bare LF, each write ends its line."""
        self.sent += octets
        plain = octets.replace(b"\r\n", b"")
        assert b"\r" not in plain, octets
        assert b"\n" not in plain, octets
        if self.machine.content_sent and self.running:
            self.message_ended = True

    def act(self) -> None:
        """What a connection does for each want."""
        machine = self.machine
        if machine.want is Want.TLS:
            self.emit(machine.tls_started())
        elif machine.want is Want.CONTENT:
            # A piece at a time, so that the peer can break in.
            piece = self.data[self.streamed_to : self.streamed_to + max(len(self.data) // 3, 1)]
            self.streamed_to += len(piece)
            self.emit(machine.content(piece) if piece else machine.content_end())
        elif machine.want is Want.MAIL and self.finished < 3:
            self.running = True
            self.message_ended = False
            self.streamed_to = 0
            whole = None if self.streamed else self.data
            self.emit(machine.start(Mail(self.sender, self.recipients, len(self.data), whole)))
            self.check(may_deliver=False)

    def check(self, *, may_deliver: bool) -> None:
        """One outcome per recipient or more is asked for; nothing is delivered out of thin air."""
        machine = self.machine
        assert held_bytes(machine) <= MAX_HELD_BYTES
        if not self.running or not machine.outcomes:
            if machine.want is Want.CLOSE and not self.finished:
                assert machine.failure is not None
            return
        self.running = False
        self.finished += 1
        assert len(machine.outcomes) == len(self.recipients)
        for outcome in machine.outcomes:
            assert outcome.reply.code >= 200
            assert all(line.isprintable() for line in outcome.reply.lines)
            if isinstance(outcome, Delivered):
                assert may_deliver
                assert outcome.reply.is_positive

    def end(self) -> None:
        """The line is cut: whoever has no outcome gets one now."""
        self.machine.lost(Cause.CLOSED, "cut")
        assert self.machine.want is Want.CLOSE
        if self.running:
            self.check(may_deliver=self.message_ended)
            assert not self.running


def held_bytes(machine: ClientMachine) -> int:
    """What the machine keeps of the peer's octets."""
    reader = machine._reader
    return len(reader._buffer) + sum(map(len, reader._lines))


def run(choice: int, opening: bytes, talk: bytes, step: int) -> Watched:
    """A whole session: ``opening`` line by line, ``talk`` by ``step`` octets, 0 being all at once.

    A peer that says everything at once is cut off at its greeting; this way it gets further.
    """
    watched = Watched(choice)
    for line in opening.splitlines(keepends=True):
        watched.feed(line)
    size = step or max(len(talk), 1)
    for at in range(0, len(talk), size):
        watched.feed(talk[at : at + size])
    watched.end()
    return watched
