"""One message on its way in: from MAIL to the answer after its last octet."""

from dataclasses import dataclass

from postern.directory.resolution import Destination
from postern.journal.record import Because, RecipientRecord
from postern.mail.address import Address
from postern.mail.envelope import Notify, Recipient, Sender
from postern.mail.finding import Effect, Finding, Verdict
from postern.mail.message.header import HeadCollector, HeaderScan
from postern.mail.message.submission import fix_submission
from postern.mail.reply import Reply, reply
from postern.spool.body import BodyWriter
from postern.spool.message import Delivery

STATE_WORDS = {
    Effect.ACCEPT: "waiting",
    Effect.REFUSE: "refused",
    Effect.REFUSE_FOR_NOW: "refused-for-now",
    Effect.HOLD: "held",
    Effect.JUNK: "junked",
}
OVERLONG_HEADER = reply(552, "5.3.4", "The header is longer than the 256 kB read here")
MAX_RECORDED = 1000
"""Recipients written down for one transaction; refused ones beyond that are only counted."""


@dataclass(frozen=True, slots=True)
class Mending:
    """How a submitted message's header is made fit to travel (RFC 6409 §8)."""

    hostname: str
    now: float


class Transaction:
    """Gathers recipients and the body of one message."""

    __slots__ = (
        "_body",
        "_deliveries",
        "_head",
        "_keys",
        "_mending",
        "_received",
        "number",
        "records",
        "sender",
        "started",
        "trace",
    )

    def __init__(self, number: int, trace: str, sender: Sender, started: float) -> None:
        self.number = number
        self.trace = trace
        self.sender = sender
        self.started = started
        self.records: list[RecipientRecord] = []
        self._deliveries: list[Delivery] = []
        self._keys: set[tuple[str, str]] = set()
        self._head = HeadCollector()
        self._body: BodyWriter | None = None
        self._received = b""
        self._mending: Mending | None = None

    @property
    def deliveries(self) -> list[Delivery]:
        """A delivery for each destination, none of them twice."""
        return self._deliveries

    @property
    def accepted(self) -> list[RecipientRecord]:
        """Recipients that were answered 250."""
        return [record for record in self.records if record.state == "waiting"]

    @property
    def head(self) -> bytes:
        """The first octets as the client sent them, the header block at least."""
        return self._head.head

    def add_recipient(
        self, recipient: Recipient, verdict: Verdict, destinations: tuple[Destination, ...]
    ) -> None:
        """Write down one RCPT and what became of it."""
        because = None if verdict.because is None else because_of(verdict.because)
        if verdict.effect is not Effect.ACCEPT and len(self.records) >= MAX_RECORDED:
            return
        state = STATE_WORDS[verdict.effect]
        told = "" if verdict.effect is Effect.ACCEPT else str(verdict.reply)
        index = len(self.records)
        self.records.append(
            RecipientRecord(str(recipient.address), state, verdict.rule, because, told)
        )
        for destination in destinations:
            self._add_delivery(recipient, destination, index)

    def _add_delivery(self, recipient: Recipient, destination: Destination, index: int) -> None:
        address = destination.address
        key = (address.local, address.domain)
        if key in self._keys:
            return
        self._keys.add(key)
        original = str(recipient.address)
        # RFC 3461 §5.2.7.1: an address that an alias put in keeps what the sender named.
        orcpt = recipient.orcpt or f"rfc822;{original}"
        notify: Notify | None = recipient.notify
        self._deliveries.append(
            Delivery(len(self._deliveries), Recipient(address, notify, orcpt), original, index)
        )

    def only_recipient(self) -> Address | None:
        """The one recipient that may be named in Received, or None when there are several."""
        accepted = self.accepted
        if len(accepted) != 1 or len(self._deliveries) != 1:
            return None
        return self._deliveries[0].recipient.address

    def open_body(self, body: BodyWriter, received: bytes, mending: Mending | None) -> None:
        """Begin the message; ``received`` goes in front of it, after ``mending`` of its header."""
        self._body = body
        self._received = received
        self._mending = mending
        if mending is None:
            body.write(received)

    def write(self, data: bytes) -> None:
        """Take a piece of the message; memory stays bounded."""
        assert self._body is not None
        if self._mending is None:
            if not self._head.is_done:
                self._head.feed(data)
            self._body.write(data)
        elif self._head.feed(data):
            self._mend()

    def end(self) -> Reply | None:
        """The last octet has come; a reply when the message can't be taken as it is."""
        if self._mending is not None:
            self._mend()
        if self._mending is not None:
            return OVERLONG_HEADER
        return None

    def _mend(self) -> None:
        assert self._body is not None
        assert self._mending is not None
        head = self._head.head
        if HeaderScan(head).is_overlong:
            return  # a Bcc beyond what is read would stay: the message is refused at its end
        fixes = fix_submission(
            head,
            now=self._mending.now,
            hostname=self._mending.hostname,
            trace=self.trace,
            sender=self.sender.address,
        )
        self._mending = None
        self._body.write(self._received)
        self._body.write(fixes.apply(head))

    @property
    def body(self) -> BodyWriter | None:
        """Where the message is being written, once it has begun."""
        return self._body


def because_of(finding: Finding) -> Because:
    """A finding as the journal keeps it."""
    return Because(finding.check, finding.text, finding.whose.value)
