"""What the recipients' rules make of what the checks found: one hearing for each connection.

Checks run from the first octet on; whoever must be answered waits for them. At RCPT a recipient is
judged by what is known then, and once the header is there all are judged again, for some rules are
about what only the header tells. What the rules say is reckoned by ``policy.judge`` alone.
"""

import functools
from collections.abc import Hashable, Iterable
from dataclasses import replace

from postern.directory.names import key_of
from postern.directory.reader import Directory
from postern.directory.resolution import Destination
from postern.mail.address import Address
from postern.mail.authres.build import field
from postern.mail.authres.results import AuthenticationResults
from postern.mail.envelope import Sender
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.policy.checks.check import Seen
from postern.policy.checks.letter import Letter
from postern.policy.examiner import Scanned, examine
from postern.policy.judge import Judgement
from postern.policy.known import HasWritten, has_written_to_nobody
from postern.policy.panel import Examination, Known
from postern.policy.policy import Policy
from postern.policy.recipient import at_rcpt, judge_for, key_of_rules, need_of
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts, is_proven
from postern.policy.scanners.scanners import Scanners
from postern.policy.scanners.settings import Need
from postern.reception import replies
from postern.reception.client import Client
from postern.reception.limits import parse_ip
from postern.reception.recipients import Decision
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.settings import Kind
from postern.reception.settlement import Settlement, named_by, settle, verdict_of
from postern.reception.transaction import Transaction
from postern.runtime.clock import Clock
from postern.spool.message import Delivery

_OTHER_RULES = Finding(
    "rule.mixed",
    Result.NOTE,
    "its rules are not those of the first recipient; it takes the message in one of its own",
    Whose.RECIPIENT,
)


class Hearing:
    """The checks of one connection, and the verdicts of the transaction that is open."""

    __slots__ = (
        "_clock",
        "_defers",
        "_directory",
        "_examination",
        "_facts",
        "_first_rules",
        "_has_one_answer",
        "_hostname",
        "_is_told",
        "_known",
        "_policy",
    )

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        ip: str,
        hostname: str,
        clock: Clock,
        *,
        defers: bool = False,
    ) -> None:
        self._policy = policy
        self._directory = directory
        self._hostname = hostname
        self._clock = clock
        self._defers = defers
        self._first_rules: Hashable | None = None
        self._has_one_answer = True
        self._examination = Examination(policy.checks, Seen(ip, hostname, at=clock.now()), clock)
        self._facts = Facts(clock.now(), parse_ip(ip))
        self._known: Known | None = None
        self._is_told = False

    def hello(self, name: str) -> None:
        """The client said who it is."""
        self._facts = replace(self._facts, helo=name.lower().removesuffix("."))
        self._examination.hello(name)

    def mail(self, sender: Sender) -> None:
        """A transaction begins."""
        address = sender.address
        self._facts = replace(self._facts, at=self._clock.now(), mail_from=address)
        self._known = None
        self._is_told = False
        self._first_rules = None
        self._has_one_answer = not sender.prdr
        self._examination.mail(address)

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
        if verdict.effect is Effect.ACCEPT and self._defers and self._has_one_answer:
            verdict = self._with_same_rules(recipient, decision.destinations, verdict)
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
        self._policy.uses.note([refusing], self._facts.at)
        return verdict_of(refusing)

    def _with_same_rules(
        self, recipient: Address, destinations: Iterable[Destination], accepted: Verdict
    ) -> Verdict:
        """``accepted``, where nobody accepted before could disagree about what is in the message.

        Places that one recipient leads to may differ all the same; ``settle`` knows what to do.
        """
        rules = frozenset(
            key_of_rules(recipient, self._facts, *self._owner(recipient, destination.address))
            for destination in destinations
        )
        if self._first_rules is None:
            self._first_rules = rules
        if rules == self._first_rules:
            return accepted
        return Verdict(Effect.REFUSE_FOR_NOW, replies.OTHER_RULES, _OTHER_RULES)

    # --- once the message is there ---------------------------------------------------------------

    def need(self, scanners: Scanners, deliveries: Iterable[Delivery]) -> Need:
        """Which scanners the message must be shown to, for its recipients."""
        books = (
            (named, self._owner(named, delivery.recipient.address)[0])
            for delivery in deliveries
            for named in [named_by(delivery)]
        )
        return need_of(books, scanners.families)

    async def read(self, letter: Letter, record: Record, scanned: Scanned | None = None) -> None:
        """Have the checks look at the whole message, and note what they find.

        ``scanned``: waits for what the scanners say, who look at it at the same time.
        """
        await self.listen(record)
        assert self._known is not None
        self._known = known = await examine(
            self._policy.letter_checks, letter, self._known, self._clock, scanned
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

    def settle(self, transaction: Transaction, letter: Letter) -> Settlement:
        """Mark what goes to Junk and what is held; refuse it for who refuses it, or for all."""
        assert self._known is not None
        facts = replace(
            self._facts,
            proven=self._known.proven,
            header_from=letter.named,
            list_id=letter.list_id,
        )
        judgements: list[Judgement] = []

        def judge(named: Address, place: Address) -> Judgement:
            judgements.append(self._judge(named, place, facts))
            return judgements[-1]

        settlement = settle(transaction, judge)
        self._policy.uses.note(judgements, facts.at)
        return settlement

    def _judge(self, named: Address, destination: Address, facts: Facts) -> Judgement:
        """For one place that the recipient called ``named`` leads to.

        Its owner's own rules count, and the rules of the domain that the mail was sent to: that is
        whose customer is meant, wherever an alias or a catch-all leads.
        """
        known = self._known
        assert known is not None
        book, has_written = self._owner(named, destination)
        return judge_for(named, known.findings, facts, book, has_written)

    def _owner(self, named: Address, destination: Address) -> tuple[Book, HasWritten]:
        """The rules that count there, and whom whoever gets the mail has written to."""
        mailbox = self._directory.mailbox_of(destination)
        owner = key_of(destination) if mailbox is None else mailbox.address
        book = self._policy.books.of(owner, named.domain or owner.domain)
        if mailbox is None:
            return book, has_written_to_nobody
        return book, functools.partial(self._policy.knows, mailbox.id)


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
    return Hearing(
        policy,
        services.directory,
        client.ip,
        hostname,
        services.clock,
        defers=services.settings.defers_mixed,
    )
