"""One message on its way in: from MAIL to the answer after its last octet."""

from dataclasses import dataclass, field

from postern.directory.resolution import Destination
from postern.directory.signers import Signers
from postern.journal.record import Because, RecipientRecord
from postern.mail.address import Address
from postern.mail.authres.forged import forged_fields
from postern.mail.dkim.body import BodyForm
from postern.mail.dkim.signing import Signing
from postern.mail.envelope import Recipient, Sender
from postern.mail.finding import Effect, Finding, Verdict
from postern.mail.message.header import HeadCollector, HeaderScan, without
from postern.mail.message.submission import fix_submission
from postern.mail.message.summary import Summary, summarise
from postern.mail.reply import Reply
from postern.policy.checks.letter import Depth, Letter, LetterReader
from postern.spool.body import BodyWriter
from postern.spool.message import Delivery

STATE_WORDS = {
    Effect.ACCEPT: "waiting",
    Effect.REFUSE: "refused",
    Effect.REFUSE_FOR_NOW: "refused-for-now",
    Effect.HOLD: "held",
    Effect.JUNK: "junked",
}
MAX_RECORDED = 1000
"""Recipients written down for one transaction; refused ones beyond that are only counted."""
MAX_DELIVERIES = 5000
"""Places one message may go to, after aliases: memory is bounded, and so is what one client sets
off. The first recipient's alone are fewer (``postern.directory.expand``)."""


@dataclass(frozen=True, slots=True)
class Mending:
    """How a submitted message's header is made fit to travel (RFC 6409 §8), and who signs it.

    ``mends``: it comes from its author's own program; what is on its way already stays as it is,
    for its author's signature to hold.
    """

    hostname: str
    now: float
    signers: Signers | None = None
    mends: bool = True


@dataclass(frozen=True, slots=True)
class Inspection:
    """How mail from outside is looked at while it comes in.

    ``authserv_ids``: names of ours; a result that claims to be from one of them is taken out.
    ``depth``: how far its parts are looked into; None: no check looks at it. ``forms``: in which
    its body is hashed, whatever signatures it bears.
    """

    authserv_ids: tuple[str, ...]
    now: float
    depth: Depth | None = field(default_factory=Depth)
    forms: frozenset[BodyForm] = frozenset()


@dataclass(frozen=True, slots=True)
class Promise:
    """One RCPT that was answered 250, what was made of it then, and where its mail goes."""

    recipient: Recipient
    verdict: Verdict
    destinations: tuple[Destination, ...]


class Transaction:
    """Gathers recipients and the body of one message.

    ``promises``: every RCPT that was accepted, in order, where each is to have its own answer.
    ``hostname``: our own.
    """

    __slots__ = (
        "_accepted",
        "_deliveries",
        "_head",
        "_hostname",
        "_inspection",
        "_keys",
        "_last_accepted",
        "_mending",
        "_reader",
        "_received",
        "_signing",
        "_summary",
        "body",
        "number",
        "promises",
        "records",
        "sender",
        "started",
        "trace",
    )

    def __init__(
        self, number: int, trace: str, sender: Sender, started: float, hostname: str = ""
    ) -> None:
        self._hostname = hostname
        self.number = number
        self.trace = trace
        self.sender = sender
        self.started = started
        self.records: list[RecipientRecord] = []
        self.promises: list[Promise] = []
        self.body: BodyWriter | None = None
        self._accepted = 0
        self._last_accepted: Address | None = None
        self._deliveries: list[Delivery] = []
        self._keys: set[tuple[str, str]] = set()
        self._head = HeadCollector()
        self._received = b""
        self._mending: Mending | None = None
        self._signing: Signing | None = None
        self._inspection: Inspection | None = None
        self._reader: LetterReader | None = None
        self._summary: Summary | None = None

    @property
    def deliveries(self) -> list[Delivery]:
        """A delivery for each destination, none of them twice."""
        return self._deliveries

    @property
    def head(self) -> bytes:
        """The first octets of the message, the header block at least, mended if it had to be."""
        return self._head.head

    def is_full(self, more: int) -> bool:
        """True when ``more`` destinations are too many for one message."""
        return more > 0 and len(self._deliveries) + more > MAX_DELIVERIES

    def add_recipient(
        self, recipient: Recipient, verdict: Verdict, destinations: tuple[Destination, ...]
    ) -> None:
        """Write down one RCPT and what became of it."""
        if verdict.effect is Effect.ACCEPT:
            self._accepted += 1
            self._last_accepted = recipient.address
            if self.sender.prdr:
                self.promises.append(Promise(recipient, verdict, destinations))
        self._enter(recipient, verdict, destinations)

    def start_over(self) -> None:
        """Forget what RCPT promised: each recipient is about to be accepted or refused anew."""
        self.records = [record for record in self.records if record.state != "waiting"]
        self._deliveries = []
        self._keys = set()

    def keep(self, promise: Promise) -> list[Delivery]:
        """One recipient gets the message; returns the deliveries it did not share so far."""
        before = len(self._deliveries)
        self._enter(promise.recipient, promise.verdict, promise.destinations)
        return self._deliveries[before:]

    def break_off(self, promise: Promise, verdict: Verdict) -> None:
        """One recipient is refused the message."""
        self._enter(promise.recipient, verdict, ())

    def _enter(
        self, recipient: Recipient, verdict: Verdict, destinations: tuple[Destination, ...]
    ) -> None:
        """Put a recipient on record, and make a delivery for each of its places.

        A recipient whose mail goes nowhere new (named twice, or an alias of one named before) is
        accepted without a trace of its own: its mail is the other's.
        """
        record = RecipientRecord(str(recipient.address), STATE_WORDS[verdict.effect], verdict.rule)
        if verdict.effect is not Effect.ACCEPT:
            if len(self.records) < MAX_RECORDED:
                record.because = None if verdict.because is None else because_of(verdict.because)
                record.reply = str(verdict.reply)
                record.next = verdict.next
                self.records.append(record)
            return
        before = len(self._deliveries)
        for destination in destinations:
            self._add_delivery(recipient, destination, len(self.records))
        if len(self._deliveries) > before:
            self.records.append(record)

    def _add_delivery(self, recipient: Recipient, destination: Destination, index: int) -> None:
        address = destination.address
        key = (address.local, address.domain)
        if key in self._keys:
            return
        self._keys.add(key)
        original = str(recipient.address)
        # An address that an alias put in keeps what the sender named (RFC 3461 §5.2.7.1, RFC 6533).
        kind = "rfc822" if original.isascii() else "utf-8"
        named = Recipient(address, recipient.notify, recipient.orcpt or f"{kind};{original}")
        delivery = Delivery(len(self._deliveries), named, original, index)
        if destination.outside:
            # The bare postmaster, and one at an address literal, are sent on by the host itself.
            domain = recipient.address.domain
            delivery.forwarder = self._hostname if domain[:1] in {"", "["} else domain
        self._deliveries.append(delivery)

    @property
    def forwarded(self) -> list[Delivery]:
        """Deliveries to addresses outside that an alias of ours leads to."""
        return [delivery for delivery in self._deliveries if delivery.forwarder]

    def nothing_is_forwarded(self) -> None:
        """It is our own users' mail: an alias sends it on in their name, from the same server."""
        for delivery in self._deliveries:
            delivery.forwarder = ""

    @property
    def because(self) -> Because | None:
        """Why an accepted message is not simply delivered, where nobody simply gets it."""
        if all(record.because is None for record in self.records):
            return None
        accepted = [record for record in self.records if record.state == "waiting"]
        reasons = [record.because for record in accepted if record.because is not None]
        return reasons[0] if reasons and len(reasons) == len(accepted) else None

    def only_recipient(self) -> Address | None:
        """The one recipient that may be named in Received, or None when there are several.

        It is the address the client named: where an alias leads is nobody else's business.
        """
        return self._last_accepted if self._accepted == 1 else None

    def refuse_accepted(self, answer: Reply, because: Because | None) -> None:
        """The message was refused after its recipients had been accepted."""
        for record in self.records:
            if record.state == "waiting":
                record.state = "refused" if answer.is_permanent else "refused-for-now"
                record.because = because
                record.reply = str(answer)

    def discard_accepted(self) -> None:
        """The client gave up: recipients were accepted, and no message came for them."""
        for record in self.records:
            if record.state == "waiting":
                record.state = "discarded"

    def open_body(
        self, body: BodyWriter, received: bytes, work: Mending | Inspection | None
    ) -> None:
        """Begin the message; ``received`` goes in front of it, once its header is worked on."""
        self.body = body
        self._received = received
        self._mending = work if isinstance(work, Mending) else None
        self._inspection = work if isinstance(work, Inspection) else None
        if work is None:
            body.write(received)

    def signature(self, now: float) -> bytes:
        """The fields that sign it, once it has come whole; empty where nobody signs."""
        return b"" if self._signing is None else self._signing.finish(now)

    def letter(self) -> Letter | None:
        """The message as checks look at it, once it has come whole; None: nobody looks at it."""
        return None if self._reader is None else self._reader.finish()

    def write(self, data: bytes) -> None:
        """Take a piece of the message; memory stays bounded."""
        assert self.body is not None
        head = self._head
        if self._mending is None and self._inspection is None:
            if not head.is_done:
                head.feed(data)
            elif self._reader is not None:
                self._reader.feed(data)
            elif self._signing is not None:
                self._signing.feed(data)
            self.body.write(data)
        elif not head.is_done and head.feed(data):
            self._work_on_header()

    def end(self) -> Summary:
        """The last octet has come. A header that is overlong was not worked on: refuse it."""
        if self._mending is not None or self._inspection is not None:
            self._work_on_header()
        return self._summary or summarise(self._head.head)

    def _work_on_header(self) -> None:
        if self._mending is not None:
            self._mend()
        else:
            self._inspect()

    def _inspect(self) -> None:
        """Take out what claims to be ours; from here on the body is read for the checks."""
        assert self.body is not None
        assert self._inspection is not None
        head = self._head.head
        self._summary = summary = summarise(head)
        if summary.is_overlong:
            return  # nothing in it can be told from a forgery: the message is refused at its end
        work = self._inspection
        if work.depth is not None:
            self._reader = LetterReader(
                head,
                summary.header_end,
                work.now,
                work.depth,
                is_utf8=self.sender.smtputf8,
                forms=work.forms,
            )
        forged = forged_fields(HeaderScan(head), work.authserv_ids)
        self._inspection = None
        self.body.write(self._received)
        self.body.write(without(head, forged) if forged else head)

    def _mend(self) -> None:
        assert self.body is not None
        assert self._mending is not None
        head = self._head.head
        self._summary = summary = summarise(head)
        if summary.is_overlong:
            return  # a Bcc beyond what is read would stay: the message is refused at its end
        if self._mending.mends and not summary.is_fit:
            fixes = fix_submission(
                head,
                now=self._mending.now,
                hostname=self._mending.hostname,
                trace=self.trace,
                sender=self.sender.address,
            )
            self._head.head = head = fixes.apply(head)
            self._summary = None
        signers = self._mending.signers
        if signers is not None:
            header_end = (self._summary or summarise(head)).header_end
            self._signing = signers.begin(head, header_end, self.sender.address)
        self._mending = None
        self.body.write(self._received)
        self.body.write(head)


def because_of(finding: Finding) -> Because:
    """A finding as the journal keeps it."""
    return Because(finding.check, finding.text, finding.whose.value)
