"""What the recipients' rules make of what the checks found: one hearing for each connection.

Checks run from the first octet on; whoever must be answered waits for them. At RCPT a recipient is
judged by what is known then, and once the header is there all are judged again, for some rules are
about what only the header tells. What the rules say is reckoned by ``policy.judge`` alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from postern.directory.names import key_of
from postern.directory.reader import Directory
from postern.directory.resolution import Destination
from postern.journal.record import RecipientRecord
from postern.mail.address import Address, parse_address
from postern.mail.authres.build import field
from postern.mail.authres.results import AuthenticationResults
from postern.mail.finding import Effect, Verdict
from postern.policy.answers import answer
from postern.policy.checks.check import Seen
from postern.policy.checks.letter import Letter
from postern.policy.examiner import examine
from postern.policy.judge import Gravity, Judgement
from postern.policy.panel import Examination, Known
from postern.policy.policy import Policy
from postern.policy.recipient import at_end, at_rcpt, judge_for
from postern.policy.rules.match import Facts, is_proven
from postern.reception.admission import Refusal
from postern.reception.client import Client
from postern.reception.limits import parse_ip
from postern.reception.recipients import Decision
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.settings import Kind
from postern.reception.transaction import Transaction, because_of
from postern.runtime.clock import Clock
from postern.spool.message import Delivery, DeliveryState

_EFFECTS = {
    Gravity.ACCEPT: Effect.ACCEPT,
    Gravity.JUNK: Effect.JUNK,
    Gravity.HOLD: Effect.HOLD,
    Gravity.REFUSE_FOR_NOW: Effect.REFUSE_FOR_NOW,
    Gravity.REFUSE: Effect.REFUSE,
}


class Hearing:
    """The checks of one connection, and the verdicts of the transaction that is open."""

    __slots__ = (
        "_clock",
        "_directory",
        "_examination",
        "_facts",
        "_hostname",
        "_is_told",
        "_known",
        "_policy",
    )

    def __init__(
        self, policy: Policy, directory: Directory, ip: str, hostname: str, clock: Clock
    ) -> None:
        self._policy = policy
        self._directory = directory
        self._hostname = hostname
        self._clock = clock
        self._examination = Examination(policy.checks, Seen(ip, hostname, at=clock.now()), clock)
        self._facts = Facts(clock.now(), parse_ip(ip))
        self._known: Known | None = None
        self._is_told = False

    def hello(self, name: str) -> None:
        """The client said who it is."""
        self._facts = replace(self._facts, helo=name.lower().removesuffix("."))
        self._examination.hello(name)

    def mail(self, sender: Address | None) -> None:
        """A transaction begins."""
        self._facts = replace(self._facts, at=self._clock.now(), mail_from=sender)
        self._known = None
        self._is_told = False
        self._examination.mail(sender)

    def end(self) -> None:
        """The connection is gone."""
        self._examination.end()

    @property
    def ptr(self) -> str:
        """The client's name in reverse DNS, confirmed, once the checks were listened to."""
        return self._facts.ptr

    async def listen(self, record: Record) -> None:
        """Wait for what the checks find, and note it down, once for each transaction."""
        if self._known is None:
            self._known = known = await self._examination.known()
            self._facts = replace(self._facts, ptr=known.ptr.lower(), proven=known.proven)
        if not self._is_told:
            self._is_told = True
            for finding in self._known.findings:
                record.found(finding)

    # --- at RCPT ---------------------------------------------------------------------------------

    async def decide(self, recipient: Address, decision: Decision, record: Record) -> Decision:
        """``decision``, or why this recipient takes nothing of the sort."""
        await self.listen(record)
        verdict = self._verdict(recipient, decision.destinations, decision.verdict)
        return replace(decision, verdict=verdict)

    def _verdict(
        self, recipient: Address, destinations: Iterable[Destination], accepted: Verdict
    ) -> Verdict:
        judgements = [
            self._judge(recipient, destination.address, self._facts) for destination in destinations
        ]
        refusing = at_rcpt(judgements)
        if refusing is None:
            return accepted
        finding = refusing.because
        assert finding is not None
        self._policy.uses.note([refusing], self._facts.at)
        told = answer(finding, for_now=refusing.gravity is Gravity.REFUSE_FOR_NOW)
        label = "" if refusing.rule is None else refusing.rule.label
        return Verdict(_EFFECTS[refusing.gravity], told, finding, label)

    # --- once the message is there ---------------------------------------------------------------

    async def read(self, letter: Letter, record: Record) -> None:
        """Have the checks look at the whole message, and note what they find."""
        await self.listen(record)
        assert self._known is not None
        self._known = known = await examine(
            self._policy.letter_checks, letter, self._known, self._clock
        )
        for finding in known.findings:
            record.found(finding)

    @property
    def is_sender_proven(self) -> bool:
        """True when SPF or DKIM speaks for the envelope's sender; the null one needs no proof."""
        assert self._known is not None
        sender = self._facts.mail_from
        return sender is None or is_proven(sender, self._known.proven)

    def header_field(self, *, utf8: bool) -> bytes:
        """What was found, as Authentication-Results (RFC 8601), to be put in front."""
        assert self._known is not None
        return field(AuthenticationResults(self._hostname, self._known.results), utf8=utf8)

    def settle(self, transaction: Transaction, letter: Letter) -> Refusal | None:
        """Mark what goes to Junk and what is held; or why the message is refused for all.

        ``policy.recipient.at_end`` says what becomes of verdicts that differ.
        """
        assert self._known is not None
        facts = replace(
            self._facts,
            proven=self._known.proven,
            header_from=letter.named,
            list_id=letter.list_id,
        )
        judged = [
            (delivery, self._judge(_named(delivery), delivery.recipient.address, facts))
            for delivery in transaction.deliveries
        ]
        judgements = [judgement for _, judgement in judged]
        self._policy.uses.note(judgements, facts.at)
        refusing = at_end(judgements)
        if refusing is not None:
            finding = refusing.because
            assert finding is not None
            for_now = refusing.gravity is Gravity.REFUSE_FOR_NOW
            return Refusal(finding, answer(finding, for_now=for_now))
        for delivery, judgement in judged:
            self._mark(delivery, judgement, transaction.records)
        return None

    def _mark(
        self, delivery: Delivery, judgement: Judgement, records: Sequence[RecipientRecord]
    ) -> None:
        record = records[delivery.index] if delivery.index < len(records) else None
        if record is not None and judgement.rule is not None:
            record.rule = judgement.rule.label
        finding = judgement.because
        if finding is None:
            return
        if record is not None:
            record.because = because_of(finding)
        delivery.is_suspect = True
        if judgement.gravity is Gravity.JUNK:
            delivery.is_junk = True
        else:
            delivery.state = DeliveryState.HELD
            delivery.held_for = finding.check

    def _judge(self, named: Address, destination: Address, facts: Facts) -> Judgement:
        """For one place that the recipient called ``named`` leads to.

        Its owner's own rules count, and the rules of the domain that the mail was sent to: that is
        whose customer is meant, wherever an alias or a catch-all leads.
        """
        known = self._known
        assert known is not None
        mailbox = self._directory.mailbox_of(destination)
        owner = key_of(destination) if mailbox is None else mailbox.address
        book = self._policy.books.of(owner, named.domain or owner.domain)
        return judge_for(named, known.findings, facts, book)


def _named(delivery: Delivery) -> Address:
    """What RCPT called the recipient of a delivery."""
    if delivery.original.lower() == "postmaster":
        return Address("postmaster", "")
    return parse_address(delivery.original) or delivery.recipient.address


def begin_hearing(services: Services, client: Client) -> Hearing | None:
    """A hearing for whoever comes from outside; None for our own users and this machine's programs.

    Of a client on this machine nothing can be learnt from its address, its name or its DNS.
    """
    policy, listener = services.policy, client.listener
    if policy is None or client.is_relay or listener.kind is not Kind.MX or not listener.examines:
        return None
    ip = parse_ip(client.ip)
    if ip is None or ip.is_loopback:
        return None
    hostname = services.settings.hostname
    return Hearing(policy, services.directory, client.ip, hostname, services.clock)
