"""Where the recipients of one transaction are judged: whose rules count, and what is kept of it."""

import functools
from collections.abc import Hashable, Iterable

from postern.directory.names import key_of
from postern.directory.reader import Directory
from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.docket import Docket
from postern.policy.judge import Judgement
from postern.policy.known import HasWritten, has_written_to_nobody
from postern.policy.panel import Known
from postern.policy.policy import Memory
from postern.policy.recipient import (
    ALWAYS_FOR_POSTMASTER,
    for_outside,
    is_postmaster,
    judge_for,
    key_of_rules,
)
from postern.policy.rules.book import Book
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import MILD, family_of
from postern.policy.waiting import before_message


class Chamber:
    """The rules of every recipient, and what was found of single ones.

    ``docket`` keeps what the judge was shown. ``is_apart``: each recipient has an answer of its own
    after the message.
    """

    __slots__ = ("_directory", "_memory", "_own", "docket")

    def __init__(self, memory: Memory, directory: Directory, *, is_apart: bool = False) -> None:
        self._memory = memory
        self._directory = directory
        # By what RCPT called them.
        self._own: dict[Address, tuple[Finding, ...]] = {}
        self.docket = Docket(is_apart=is_apart)

    def found_of(self, named: Address, finding: Finding) -> None:
        """Something that concerns one recipient alone; said again, it is still one thing."""
        others = (one for one in self._own.get(named, ()) if one.check != finding.check)
        self._own[named] = (*others, finding)

    def was_asked(self, named: Address, family: str) -> bool:
        """Whether a check of that family has looked at this recipient already."""
        return any(one.family == family for one in self._own.get(named, ()))

    def judge(
        self, named: Address, destination: Address, known: Known, facts: Facts, *trial: Finding
    ) -> Judgement:
        """For one place that the recipient called ``named`` leads to.

        ``trial``: what would be found besides; such a judgement is not kept.

        Its owner's own rules count, and the rules of the domain that the mail was sent to: that is
        whose customer is meant, wherever an alias or a catch-all leads.
        """
        findings = known.findings if facts.has_header else before_message(known)
        if own := self._own.get(named, ()) + trial:
            findings += own
        owner, has_written = self._owner(destination)
        domain = named.domain or owner.domain
        book = self._memory.books.of(owner, domain)
        judgement = judge_for(named, findings, facts, book, has_written)
        is_outside = self._is_outside(destination)
        if is_outside:
            judgement = for_outside(judgement)
        if not trial:
            self.docket.note(
                named, owner, domain, facts, findings, judgement, is_outside=is_outside
            )
        return judgement

    def _is_outside(self, destination: Address) -> bool:
        """Junk has no folder there."""
        domain = destination.domain
        return self._directory.domain(domain) is None and not self._directory.is_this_host(domain)

    def heeds(self, check: str, named: Address, places: Iterable[Address]) -> bool:
        """Whether a fail of that check would make a difference to this recipient."""
        if is_postmaster(named):
            return family_of(check) in ALWAYS_FOR_POSTMASTER
        books = (self.rules(named, place)[0] for place in places)
        return any(book.setting(check).treatment not in MILD for book in books)

    def key(self, named: Address, places: Iterable[Address], facts: Facts) -> Hashable:
        """Equal for recipients who cannot disagree about what a message from this client holds."""
        return frozenset(key_of_rules(named, facts, *self.rules(named, place)) for place in places)

    def rules(self, named: Address, destination: Address) -> tuple[Book, HasWritten]:
        """The rules that count there, and whom whoever gets the mail has written to."""
        owner, has_written = self._owner(destination)
        return self._memory.books.of(owner, named.domain or owner.domain), has_written

    def _owner(self, destination: Address) -> tuple[Address, HasWritten]:
        """Whose rules count at a place, and whom he has written to: a tag is no other mailbox."""
        mailbox = self._directory.mailbox_of(destination)
        if mailbox is None:
            return key_of(destination), has_written_to_nobody
        return mailbox.address, functools.partial(self._memory.knows, mailbox.id)
