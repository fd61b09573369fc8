"""What the server machine tells its session: plain values, one for each thing that happened.

Events marked *asks* wait for the session's answer; until it is given the machine hands out no
further event and no pipelined reply can overtake it.
"""

from dataclasses import dataclass, field

from postern.mail.envelope import Recipient, Sender


@dataclass(frozen=True, slots=True)
class Hello:
    """HELO or EHLO was understood and answered. ``name`` is the client's own word, as sent."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """*Asks.* MAIL FROM, well formed and in order."""

    sender: Sender


@dataclass(frozen=True, slots=True)
class RcptTo:
    """*Asks.* RCPT TO, well formed, in order, and within the recipient limit."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class DataStart:
    """*Asks.* DATA, or the first BDAT; at least one recipient was accepted.

    A positive answer (any 2xx or 354) opens the body: the machine itself sends 354 for DATA and
    nothing for BDAT. A negative one is sent as it is, and a BDAT chunk is swallowed.
    """

    chunking: bool


@dataclass(frozen=True, slots=True)
class BodyData:
    """A piece of the message, dot-unstuffed, as the bytes are to be stored."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """*Asks.* The end of the message was seen (CR LF . CR LF, or BDAT LAST).

    Where MAIL asked for PRDR each accepted recipient may be given an answer of its own.
    """

    size_bytes: int


@dataclass(frozen=True, slots=True)
class BodyFailed:
    """The machine refused the body by itself and has answered; throw away what came.

    ``check`` is ``size.too-big`` or ``standards.bare-lf``.
    """

    check: str
    text: str


@dataclass(frozen=True, slots=True)
class Reset:
    """The transaction is over without a message: RSET, a new EHLO, or STARTTLS."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """*Asks.* A 220 answer is sent, then the session must upgrade and call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """*Asks.* AUTH came to its end. The password is never shown."""

    mechanism: str
    username: str
    password: str = field(repr=False)
    authorize_as: str = ""


@dataclass(frozen=True, slots=True)
class Verify:
    """*Asks.* VRFY with its argument."""

    argument: str


@dataclass(frozen=True, slots=True)
class Violation:
    """The client broke the protocol and the machine has answered.

    ``check`` is ``standards.bare-lf`` for a bare CR or LF, else empty; ``hopeless``: the machine
    wants the connection closed once its output is sent.
    """

    check: str
    text: str
    hopeless: bool


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT was answered; close once the output is sent."""


Event = (
    Hello
    | MailFrom
    | RcptTo
    | DataStart
    | BodyData
    | BodyEnd
    | BodyFailed
    | Reset
    | StartTls
    | Credentials
    | Verify
    | Violation
    | Quit
)
