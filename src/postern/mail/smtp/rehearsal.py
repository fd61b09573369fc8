"""A server machine with somebody to answer for the session: dialogues in a test, without a network.

Ships with Postern, so that those who write checks and sessions can rehearse them.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from postern.mail.reply import Reply, reply
from postern.mail.smtp.events import (
    BodyData,
    BodyEnd,
    BodyFailed,
    Credentials,
    DataStart,
    Event,
    MailFrom,
    RcptTo,
    StartTls,
    Verify,
)
from postern.mail.smtp.server import ServerMachine
from postern.mail.smtp.settings import ServerSettings

Answers = Mapping[type[Event], Reply]

FRIENDLY: Answers = MappingProxyType(
    {
        MailFrom: reply(250, "2.1.0", "Sender ok"),
        RcptTo: reply(250, "2.1.5", "Recipient ok"),
        DataStart: reply(354, "", "Go ahead"),
        BodyEnd: reply(250, "2.0.0", "Accepted"),
        StartTls: reply(220, "2.0.0", "Go ahead"),
        Credentials: reply(235, "2.7.0", "Logged in"),
        Verify: reply(252, "2.0.0", "Send some mail and see"),
    }
)
"""Answers that take everything."""


class Rehearsal:
    """Plays the session's part: answers every *asks* event at once and keeps what happened.

    Attributes:
        answers: by type of event; may be changed between two lines.
        for_each: after a message that asked for PRDR its recipients are given these in turn.
        events: all events so far, pieces of a body joined, and dropped where the body failed.
        wire: all output so far.
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        answers: Answers = MappingProxyType({}),
        *,
        tls_active: bool = False,
    ) -> None:
        self.machine = ServerMachine(
            settings or ServerSettings("mx.postern.test"), tls_active=tls_active
        )
        self.machine.trace = "PT-7Q2M-K4XD"
        self.answers = {**FRIENDLY, **answers}
        self.for_each: Sequence[Reply] = ()
        self._promised = 0
        self._wants_each = False
        self.events: list[Event] = []
        self.wire = b""
        self._now = 0.0
        self.machine.greet(self._now)
        self._drain()

    def say(self, data: bytes | str) -> str:
        """Sends bytes as they are, and text as one line; returns what came back, as text."""
        before = len(self.wire)
        self._now += 1.0
        self.machine.receive(_octets(data), self._now)
        self._drain()
        return self.wire[before:].decode("ascii")

    def say_all(self, *lines: bytes | str) -> list[str]:
        """Says one after the other; returns what came back for each."""
        return [self.say(line) for line in lines]

    def feed(self, pieces: Iterable[bytes]) -> None:
        """Sends bytes in these pieces."""
        for piece in pieces:
            self.say(piece)

    @property
    def messages(self) -> list[bytes]:
        """The content of every message that came to its end."""
        found = []
        for number, event in enumerate(self.events):
            if isinstance(event, BodyEnd):
                before = self.events[number - 1]
                found.append(before.data if isinstance(before, BodyData) else b"")
        return found

    def _drain(self) -> None:
        machine = self.machine
        while (event := machine.next_event()) is not None:
            self._keep(event)
            answer = self.answers.get(type(event))
            if answer is not None:
                machine.reply(answer, self._now, self._answers_for_each(event, answer))
                if isinstance(event, StartTls) and answer.is_positive:
                    machine.tls_started()
        self.wire += machine.take_output()

    def _answers_for_each(self, event: Event, answer: Reply) -> list[Reply]:
        """What the recipients are told one by one, where somebody asked for that."""
        if isinstance(event, MailFrom):
            self._promised, self._wants_each = 0, event.sender.prdr
        elif isinstance(event, RcptTo):
            self._promised += answer.code < 400
        elif isinstance(event, BodyEnd) and self._wants_each and self.for_each:
            return [self.for_each[n % len(self.for_each)] for n in range(self._promised)]
        return []

    def _keep(self, event: Event) -> None:
        last = self.events[-1] if self.events else None
        if isinstance(last, BodyData) and isinstance(event, BodyData):
            self.events[-1] = BodyData(last.data + event.data)
            return
        if isinstance(last, BodyData) and isinstance(event, BodyFailed):
            self.events.pop()
        self.events.append(event)


def _octets(data: bytes | str) -> bytes:
    return data if isinstance(data, bytes) else f"{data}\r\n".encode()
