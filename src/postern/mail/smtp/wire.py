"""The part of the server machine that knows no command: bytes, replies, faults, transcript."""

from collections.abc import Callable
from enum import Enum
from typing import Literal

from postern.mail.reply import Reply
from postern.mail.smtp import replies
from postern.mail.smtp.events import Event, Violation
from postern.mail.smtp.lines import InputBuffer, LineFault
from postern.mail.smtp.settings import ServerSettings
from postern.mail.smtp.transcript import Transcript


class LocalProtocolError(Exception):
    """The session broke the machine's rules: a bug of ours, never the client's doing."""


class Step(Enum):
    """What reading a command or a piece of body led to when it led to no event."""

    GO_ON = "go-on"  # done with it, look at the next


GO_ON = Step.GO_ON
Outcome = Event | Literal[Step.GO_ON] | None
"""An event; GO_ON when there is none but more may be read; None when more bytes are needed."""

_HOPELESS = {
    LineFault.BARE_CR: replies.BARE_CR,
    LineFault.BARE_LF: replies.BARE_LF,
    LineFault.ENDLESS: replies.LINE_ENDLESS,
    LineFault.TLS: replies.TLS_TOO_EARLY,
}
_BARE = frozenset({LineFault.BARE_CR, LineFault.BARE_LF})


class Wire:
    """What passes between client and session, whatever it means.

    Attributes:
        closing: close the connection once the output is sent; the session may set it too.
        trace: the code that ends every 4xx, every 5xx, and the 250 after a message.
        trace_source: asked for that code, when set, each time one must be shown.
        dialogue: what was said so far.
    """

    __slots__ = (
        "_deaf",
        "_errors",
        "_flooded",
        "_input",
        "_now",
        "_output",
        "_queued",
        "closing",
        "dialogue",
        "settings",
        "trace",
        "trace_source",
    )

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.closing = False
        self.trace = ""
        self.trace_source: Callable[[], str] | None = None
        self.dialogue = Transcript()
        self._input = InputBuffer()
        self._output: list[bytes] = []
        self._queued: Event | None = None  # the second of two events that came at once
        self._deaf = False  # between STARTTLS and TLS, or flooded: what arrives is dropped
        self._flooded = False
        self._errors = 0
        self._now = 0.0

    def receive(self, data: bytes, now: float) -> None:
        """Takes bytes from the client; ``next_event`` tells what they meant.

        ``now`` is seconds on any clock that only grows, the same for all methods. Sessions stop
        reading from the network while an *asks* event is unanswered; with one that does not, more
        than ``MAX_BACKLOG_BYTES`` ends the connection.
        """
        self._now = now
        if not (self._deaf or self.closing) and not self._input.feed(data):
            self._input.clear()
            self._deaf = self._flooded = True

    def take_output(self) -> bytes:
        """Everything to be sent since the last call, in one piece; then forgotten."""
        output = self._output
        if not output:
            return b""
        if len(output) == 1:
            return output.pop()
        wire = b"".join(output)
        output.clear()
        return wire

    @property
    def backlog_bytes(self) -> int:
        """How much was received and not read yet."""
        return self._input.unread

    def _say(self, reply: Reply, *, with_trace: bool = False) -> None:
        """Queues a reply; 4xx and 5xx always show the trace code."""
        if with_trace or reply.code >= 400:
            wire = reply.encode(self.trace if self.trace_source is None else self.trace_source())
        else:
            wire = reply.encode()
        self._output.append(wire)
        self.dialogue.add(self._now, "S", wire)

    def _send(self, wire: bytes) -> None:
        """Queues a reply that was encoded before and has no trace code."""
        self._output.append(wire)
        self.dialogue.add(self._now, "S", wire)

    def _hang_up(self) -> None:
        """Nothing more is read; what is to be sent still is."""
        self.closing = True
        self._input.clear()

    def _refuse(
        self, reply: Reply, check: str = "", *, hopeless: bool = False, counts: bool = True
    ) -> Violation:
        """Answers a breach of protocol; the one too many ends the connection.

        ``counts`` is False for what honest clients do too, such as one recipient too many.
        """
        self._errors += counts
        if self._errors >= self.settings.max_errors and not hopeless:
            reply, hopeless = replies.TOO_MANY_ERRORS, True
        self._say(reply)
        if hopeless:
            self._hang_up()
        return Violation(check, reply.text, hopeless)

    def _refuse_line(self, fault: LineFault, too_long: Reply) -> Violation:
        """Answers bytes that are not a line."""
        if fault is LineFault.TOO_LONG:
            return self._refuse(too_long)
        check = "standards.bare-lf" if fault in _BARE else ""
        return self._refuse(_HOPELESS[fault], check, hopeless=True)
