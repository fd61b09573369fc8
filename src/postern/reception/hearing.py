"""What the recipients' rules make of what the checks found: one hearing for each connection.

Checks run from the first octet on; whoever must be answered waits for them. At RCPT a recipient is
judged by what is known then, and once the header is there all are judged again, for some rules are
about what only the header tells. What the rules say is reckoned by ``policy.judge`` alone.
"""

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from postern.directory.reader import Directory
from postern.mail.address import Address
from postern.mail.authres.results import AuthenticationResults
from postern.mail.envelope import Sender
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.policy.checks.check import Seen
from postern.policy.checks.letter import Depth, Letter
from postern.policy.examiner import Scanned, examine
from postern.policy.greylist.greylist import TRIAL
from postern.policy.judge import Judgement
from postern.policy.panel import Examination, Known
from postern.policy.policy import Policy
from postern.policy.recipient import at_rcpt, need_of
from postern.policy.rules.match import Facts, is_proven
from postern.policy.scanners.scanners import Scanners
from postern.policy.scanners.settings import Need
from postern.policy.untold.patience import untold_field
from postern.policy.waiting import after_message
from postern.reception import replies
from postern.reception.chamber import Chamber
from postern.reception.client import Client
from postern.reception.greeting import EARLY_TALK, PatientClients
from postern.reception.limits import parse_ip
from postern.reception.recipients import Decision
from postern.reception.record import Record
from postern.reception.services import Services
from postern.reception.settings import Kind
from postern.reception.settlement import (
    Custody,
    Settlement,
    by_recipient,
    settle,
    verdict_of,
)
from postern.reception.transaction import Transaction
from postern.runtime.clock import Clock
from postern.spool.holdings import Holdings

_OTHER_RULES = Finding(
    "rule.mixed",
    Result.NOTE,
    "its rules are not those of the first recipient; it takes the message in one of its own",
    Whose.RECIPIENT,
)

_UNTOLD = Result.COULDNT_TELL
_LISTS = frozenset({"dnsbl"})


class Hearing:
    """The checks of one connection, and the verdicts of the transaction that is open."""

    __slots__ = (
        "_chamber",
        "_clock",
        "_defers",
        "_directory",
        "_examination",
        "_facts",
        "_first",
        "_first_rules",
        "_has_one_answer",
        "_heeds_lists",
        "_hostname",
        "_judged",
        "_known",
        "_lacks_lists",
        "_ours",
        "_patient",
        "_policy",
        "_talked_early",
        "greeting_wait_s",
    )

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        ip: str,
        hostname: str,
        clock: Clock,
        patient: PatientClients,
        greeting_wait_s: float,
        *,
        defers: bool = False,
    ) -> None:
        self._policy = policy
        self._directory = directory
        self._hostname = hostname
        self._clock = clock
        self._defers = defers
        self._first: tuple[Address, list[Address]] | None = None
        self._first_rules: Hashable | None = None
        self._has_one_answer = True
        self._examination = Examination(policy.checks, Seen(ip, hostname, at=clock.now()), clock)
        self._facts = Facts(clock.now(), parse_ip(ip))
        self._known: Known | None = None
        self._judged = Known()
        self._ours: tuple[Finding, ...] | None = None
        self._heeds_lists = self._lacks_lists = False
        self._patient = patient
        self._talked_early = False
        self._chamber = Chamber(policy.memory, directory)
        self.greeting_wait_s = greeting_wait_s

    def greeted(self, *, talked_early: bool) -> None:
        """The client was greeted; it had waited for that, or not."""
        self._talked_early = talked_early
        if not talked_early:
            self._patient.remember(str(self._facts.ip), self._clock.monotonic())

    def hello(self, name: str) -> None:
        """The client said who it is."""
        self._facts = replace(self._facts, helo=name.lower().removesuffix("."))
        self._examination.hello(name)

    def mail(self, sender: Sender) -> None:
        """A transaction begins."""
        address = sender.address
        self._facts = replace(self._facts, at=self._clock.now(), mail_from=address)
        self._known = self._ours = None
        self._heeds_lists = self._lacks_lists = False
        self._first_rules = self._first = None
        self._has_one_answer = not sender.prdr
        self._chamber = Chamber(self._policy.memory, self._directory, is_apart=sender.prdr)
        self._examination.mail(address)

    def end(self) -> None:
        """The connection is gone."""
        self._examination.end()

    @property
    def depth(self) -> Depth:
        """How far messages are looked into."""
        return self._policy.depth

    @property
    def ptr(self) -> str:
        """The client's name in reverse DNS, confirmed, once the checks were listened to."""
        return self._facts.ptr

    async def listen(self, record: Record, without: frozenset[str] = frozenset()) -> None:
        """Wait for what the checks find, and note it down, once for each transaction.

        ``without``: families that nobody who was asked so far needs to wait for.
        """
        if self._known is not None and (without or not self._lacks_lists):
            return
        known = await self._examination.known(without)
        self._lacks_lists = not self._examination.is_done
        self._facts = replace(self._facts, ptr=known.ptr.lower(), proven=known.proven)
        self._know(self._with_ours(known), record)

    def _know(self, known: Known, record: Record) -> None:
        """``known`` is what was found; judged is it without what is no longer waited for."""
        self._known = known
        self._judged = self._without_overdue(known)
        for finding in self._judged.findings:
            record.found(finding)

    def _with_ours(self, known: Known) -> Known:
        """With what the server itself noticed of the client: how it began, how much it sends."""
        if self._ours is None:
            rates = self._policy.rates
            exceeded = None if rates is None else rates.of_message(self._facts)
            self._ours = () if exceeded is None else (exceeded,)
        before = (EARLY_TALK,) if self._talked_early else ()
        if not (before or self._ours):
            return known
        return replace(known, findings=(*before, *known.findings, *self._ours))

    def _without_overdue(self, known: Known) -> Known:
        """With what DNS has not told for so long that it is no longer waited for only noted."""
        patience = self._policy.memory.patience
        if patience is None or all(one.result is not _UNTOLD for one in known.findings):
            return known
        findings = patience.without_overdue(known.findings, self._facts, self._clock.now())
        return replace(known, findings=findings)

    def _kept_waiting(self, judgements: Sequence[Judgement]) -> None:
        """Remember it where nothing but DNS keeps the mail from being taken."""
        patience = self._policy.memory.patience
        if patience is not None:
            patience.note(judgements, self._facts, self._clock.now())

    # --- at RCPT ---------------------------------------------------------------------------------

    async def decide(self, recipient: Address, decision: Decision, record: Record) -> Decision:
        """``decision``, or why this recipient takes nothing of the sort."""
        places = [destination.address for destination in decision.destinations]
        await self.listen(record, self._unneeded(recipient, places))
        record.docket = self._chamber.docket
        rates = self._policy.rates
        if rates is not None and (exceeded := rates.of_recipient(recipient, self._facts)):
            self._found_of(recipient, exceeded, record)
        verdict = self._verdict(recipient, places, decision.verdict)
        if verdict is decision.verdict and (reason := self._greylisted(recipient, places)):
            await self._ask_greylist([recipient], reason, self._facts, record)
            verdict = self._verdict(recipient, places, decision.verdict)
        if verdict.effect is Effect.ACCEPT and self._defers and self._has_one_answer:
            verdict = self._with_same_rules(recipient, places, verdict)
        return replace(decision, verdict=verdict)

    def _unneeded(self, named: Address, places: list[Address]) -> frozenset[str]:
        """Block lists, where they are slow and this recipient would not refuse for them."""
        if self._heeds_lists or self._examination.is_done:
            return frozenset()
        self._heeds_lists = self._chamber.heeds("dnsbl.listed", named, places)
        return frozenset() if self._heeds_lists else _LISTS

    def _greylisted(self, named: Address, places: list[Address], whole: Facts | None = None) -> str:
        """Why mail for this recipient, whom nothing else keeps from taking it, may have to wait.

        Empty where nothing is suspicious, or the recipient's rules let it through anyway. The null
        sender is asked to come again only once its message is there (``whole``): who checks whether
        an address exists sends none (RFC 5321 §4.5.5 and §7.8).
        """
        greylist, known, facts = self._policy.greylist, self._known, whole or self._facts
        if greylist is None or known is None or (facts.mail_from is None and whole is None):
            return ""
        reason = greylist.reason(known.findings, facts)
        return reason if reason and self._would_wait(named, places, facts) else ""

    async def _ask_greylist(
        self, recipients: list[Address], reason: str, facts: Facts, record: Record
    ) -> None:
        """Ask for all of them at once: they share a commit."""
        greylist, known = self._policy.greylist, self._known
        assert greylist is not None
        assert known is not None
        found = await asyncio.gather(
            *(greylist.ask(facts, known.identifiers, named, reason) for named in recipients)
        )
        for named, finding in zip(recipients, found, strict=True):
            self._found_of(named, finding, record)

    def _would_wait(self, named: Address, places: list[Address], facts: Facts) -> bool:
        """Whether greylisting would decide, and at once: no rule that may fit later waives it."""
        for place in places:
            judged = self._chamber.judge(named, place, self._judged, facts, TRIAL)
            if judged.because is not TRIAL or judged.waits:
                continue
            # What somebody let through in spite of other findings is not held up for them.
            if all(one.waived_by is None for one in judged.weighed):
                return True
        return False

    def _found_of(self, named: Address, finding: Finding, record: Record) -> None:
        """Something that concerns one recipient alone."""
        self._chamber.found_of(named, finding)
        record.found(finding)

    def _verdict(self, recipient: Address, places: Iterable[Address], accepted: Verdict) -> Verdict:
        judged, facts = self._judged, self._facts
        judgements = [self._chamber.judge(recipient, place, judged, facts) for place in places]
        refusing = at_rcpt(judgements)
        if refusing is None:
            return accepted
        self._chamber.docket.turned_away(recipient)
        self._policy.memory.uses.note([refusing], self._facts.at)
        self._kept_waiting([refusing])
        return verdict_of(refusing, self._policy.help_url)

    def _with_same_rules(
        self, recipient: Address, places: list[Address], accepted: Verdict
    ) -> Verdict:
        """``accepted``, where nobody accepted before could disagree about what is in the message.

        Places that one recipient leads to may differ all the same; ``settle`` knows what to do.
        """
        if self._first is None:
            self._first = (recipient, places)
            return accepted
        if self._first_rules is None:
            self._first_rules = self._chamber.key(*self._first, self._facts)
        if self._chamber.key(recipient, places, self._facts) == self._first_rules:
            return accepted
        return Verdict(Effect.REFUSE_FOR_NOW, replies.OTHER_RULES, _OTHER_RULES)

    # --- once the message is there ---------------------------------------------------------------

    def need(self, scanners: Scanners, transaction: Transaction) -> Need:
        """Which scanners the message must be shown to, for its recipients."""
        books = (
            (named, self._chamber.rules(named, place)[0])
            for named, places in by_recipient(transaction).items()
            for place in places
        )
        return need_of(books, scanners.families)

    async def read(self, letter: Letter, record: Record, scanned: Scanned | None = None) -> None:
        """Have the checks look at the whole message, and note what they find.

        ``scanned``: waits for what the scanners say, who look at it at the same time.
        """
        await self.listen(record, frozenset() if self._heeds_lists else _LISTS)
        assert self._known is not None
        checks = self._policy.letter_checks
        known = await examine(checks, letter, self._known, self._clock, scanned)
        self._know(after_message(known, self._facts.mail_from, letter.authors or ()), record)

    async def ask_again(self, transaction: Transaction, letter: Letter, record: Record) -> None:
        """Greylist whom only the whole message made suspicious, or who could not be asked before.

        Not where the message is refused anyway, and nobody twice.
        """
        facts = self._whole(letter)
        waiting: dict[str, list[Address]] = {}
        for named, places in by_recipient(transaction).items():
            if self._chamber.was_asked(named, "greylist"):
                continue
            if reason := self._greylisted(named, places, facts):
                waiting.setdefault(reason, []).append(named)
        for reason, recipients in waiting.items():
            await self._ask_greylist(recipients, reason, facts, record)

    def _whole(self, letter: Letter) -> Facts:
        """All that rules can be about."""
        assert self._known is not None
        return replace(
            self._facts,
            proven=self._known.proven,
            header_from=letter.named,
            list_id=letter.list_id,
        )

    @property
    def is_sender_proven(self) -> bool:
        """True when SPF or DKIM speaks for the envelope's sender; the null one needs no proof."""
        assert self._known is not None
        sender = self._facts.mail_from
        return sender is None or is_proven(sender, self._known.proven)

    @property
    def results(self) -> AuthenticationResults:
        """What was found, as others are told it (RFC 8601)."""
        assert self._known is not None
        return AuthenticationResults(self._hostname, self._known.results)

    @property
    def untold_field(self) -> bytes:
        """A mark for mail that was taken although DNS did not tell; empty for other mail."""
        return untold_field(self._judged.findings)

    def settle(
        self, transaction: Transaction, letter: Letter, size_bytes: int, holdings: Holdings
    ) -> Settlement:
        """Mark what goes to Junk and what is held; refuse it for who refuses it, or for all."""
        facts = self._whole(letter)
        judgements: list[Judgement] = []

        def judge(named: Address, place: Address) -> Judgement:
            judgements.append(self._chamber.judge(named, place, self._judged, facts))
            return judgements[-1]

        custody = Custody(holdings, self._directory.owner_of, size_bytes, facts.at)
        settlement = settle(transaction, judge, custody, self._policy.help_url)
        self._policy.memory.uses.note(judgements, facts.at)
        self._kept_waiting(judgements)
        return settlement


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
    services.directory.refresh()  # a resolver for its zone may have been named just now
    patient, clock = services.patient, services.clock
    wait_s = listener.greeting_wait_s
    if wait_s and patient.knows(str(ip), clock.monotonic()):
        wait_s = 0.0
    hostname = services.settings.hostname
    return Hearing(
        policy,
        services.directory,
        client.ip,
        hostname,
        clock,
        patient,
        wait_s,
        defers=services.settings.defers_mixed,
    )
