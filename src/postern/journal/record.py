"""The record of one conversation: what ``postern why`` reads back.

Reception fills it while the client talks, the spool carries it beside the message as one msgpack
blob, the queue adds attempts, and at the end it moves to a day file. Structs are arrays on disk:
add fields at the end, with a default, and never reorder.
"""

import msgspec


class Step(msgspec.Struct, array_like=True, frozen=True):
    """One step of a conversation: ``result`` is a word of ``postern.mail.finding.Result``."""

    step: str
    result: str
    seconds: float = 0.0
    place: str = ""
    text: str = ""
    whose: str = ""


class Because(msgspec.Struct, array_like=True, frozen=True):
    """What decided: a check id, one sentence, and whose side it is."""

    check: str
    text: str
    whose: str


class RecipientRecord(msgspec.Struct, array_like=True):
    """One recipient of the conversation.

    ``address`` is what RCPT (or an alias) named; ``state`` one of ``delivered refused
    refused-for-now held junked waiting bounced discarded``; ``final`` where it went when an alias
    sent it elsewhere; ``reply`` what the client was told, or the last word of the last attempt.
    ``next_at`` and ``gives_up_at`` are known only while it waits, to the one who lets it wait.
    ``next``: checks that would have refused it, one after the other, were ``because`` waived.
    """

    address: str
    state: str
    rule: str = ""
    because: Because | None = None
    reply: str = ""
    final: str = ""
    next_at: float | None = None
    gives_up_at: float | None = None
    next: tuple[str, ...] = ()


class AttemptRecord(msgspec.Struct, array_like=True, frozen=True):
    """One try: which way, to whom, how protected, how long, what was said.

    ``outcome`` is ``delivered``, ``deferred`` or ``refused``; ``recipients`` are indexes into the
    conversation's recipients; ``tls`` is ``"TLS1.3 TLS_AES_256_GCM_SHA384"`` or empty; ``cause``
    a word of ``postern.mail.outcome.Cause`` or empty; ``reason`` tells why it went this way, where
    that is not the usual one; ``unencrypted`` why it went in clear, where that was decided before.
    """

    at: float
    egress: str
    mx: str
    address: str
    tls: str
    seconds: float
    reply: str
    outcome: str
    recipients: tuple[int, ...] = ()
    cause: str = ""
    reason: str = ""
    unencrypted: str = ""


class Line(msgspec.Struct, array_like=True, frozen=True):
    """One line of a transcript: seconds since connect, ``C`` or ``S``, text (secrets masked)."""

    seconds: float
    side: str
    text: str


class DecisionRecord(msgspec.Struct, array_like=True):
    """The judge's verdict for one place that a recipient leads to, and what it was made of.

    ``owner`` is whose rules counted (an address in lower case), ``domain`` the one written to,
    ``named`` what RCPT said where that is another address. ``early`` is what was found by RCPT,
    ``found`` once the message had come (None: it never came), both as ``findings_text`` of
    ``postern.journal.findings`` has it. ``flags``: ``KNOWN_EARLY``, ``KNOWN``, ``POSTMASTER``,
    ``APART``, ``WRITTEN``, ``OUTSIDE``.
    ``gravity`` is the verdict (a number of ``postern.policy.judge.Gravity``), ``rule`` the label
    of the rule that decided or let through.
    """

    owner: str
    domain: str
    named: str = ""
    early: str = ""
    found: str | None = None
    flags: int = 0
    gravity: int = 0
    rule: str = ""


class HeardRecord(msgspec.Struct, array_like=True, frozen=True):
    """What a transaction's verdicts rest on, so that other rules can judge it again.

    ``id`` and ``at`` are its conversation's. Names are in lower case, addresses as
    ``Address.key``. ``mail_from`` None: the null sender. ``authors``: each address of every From,
    a line each; None: the message never came. ``proven``: domains, blanks between them;
    ``proven_early``: those that were proven by RCPT.
    """

    id: int
    at: float
    client_ip: str
    decisions: list[DecisionRecord]
    helo: str = ""
    ptr: str = ""
    mail_from: str | None = None
    proven_early: str = ""
    authors: str | None = None
    list_id: str = ""
    proven: str = ""
    subject: str = ""


KNOWN_EARLY = 1
"""At RCPT already it was proven to come from somebody this recipient has written to."""
KNOWN = 2
"""Once the message had come it was."""
POSTMASTER = 4
"""It was for ``postmaster``, who takes nearly everything."""
APART = 8
"""Each recipient had an answer of its own after the message (PRDR)."""
WRITTEN = 16
"""At RCPT: this recipient has written to the sender, whom only the message could still prove."""
OUTSIDE = 32
"""An alias leads to an address outside, where junk has no folder."""


class Conversation(msgspec.Struct, array_like=True):
    """One SMTP transaction (or a connection that ended before MAIL), whole.

    ``id`` is the number behind the trace code, see ``postern.mail.tracecode``; ``direction`` is
    ``in`` for mail from outside and ``out`` for mail our own users (or Postern) send; ``related``
    are ids of siblings on the same connection and of the message a notice is about.
    ``from_header`` is the visible From address. ``kind`` is ``smtp``, ``notice`` or ``sendmail``.
    ``heard`` is there only on the way to the journal, which keeps it in a table of its own.
    """

    id: int
    at: float
    direction: str = "in"
    kind: str = "smtp"
    listener: str = ""
    client_ip: str = ""
    client_port: int = 0
    helo: str = ""
    tls: str = ""
    account: str = ""
    mail_from: str = ""
    from_header: str = ""
    message_id: str = ""
    subject: str = ""
    size: int = 0
    seconds: float = 0.0
    accepted: bool = False
    recipients: list[RecipientRecord] = msgspec.field(default_factory=list)
    because: Because | None = None
    steps: list[Step] = msgspec.field(default_factory=list)
    attempts: list[AttemptRecord] = msgspec.field(default_factory=list)
    related: list[int] = msgspec.field(default_factory=list)
    transcript: list[Line] = msgspec.field(default_factory=list)
    ended_at: float = 0.0
    worker: int = 0
    heard: HeardRecord | None = None


class ChangeRecord(msgspec.Struct, array_like=True, frozen=True):
    """One change a person or Postern itself made: queue surgery, a rule, a route.

    ``action`` is a word such as ``queue.hold``; ``subject`` what it was done to, ``detail`` one
    sentence; ``related`` are ids of the conversations it touched.
    """

    at: float
    author: str
    action: str
    subject: str
    detail: str = ""
    related: tuple[int, ...] = ()


class FoldedRecord(msgspec.Struct, array_like=True, frozen=True):
    """Refused conversations that a flood made us count instead of write.

    ``client_ip`` is empty for the sum of all clients that had no row of their own any more.
    """

    client_ip: str
    check: str
    count: int
    first_at: float
    last_at: float
