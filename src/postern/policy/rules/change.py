"""A change of what was decided, and the books as they would be with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from postern.mail.address import Address
from postern.policy.rules.book import Book
from postern.policy.rules.rule import Rule, Scope, Treatment
from postern.policy.rules.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Added:
    """A rule more."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Ended:
    """A rule less."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Treated:
    """A check treated another way, for one domain or (empty) for all.

    ``treatment`` None: as where nobody said anything for it.
    """

    check: str
    treatment: Treatment | None
    domain: str = ""


Change = Added | Ended | Treated


class BookSource(Protocol):
    """Where the book of each recipient is found."""

    def of(self, mailbox: Address, domain: str = "") -> Book:
        """What was decided for mail to ``mailbox`` that was sent to ``domain``."""
        ...


class Amended:
    """Books with one change; for one look at many recipients, while nothing else changes."""

    def __init__(self, books: BookSource, change: Change) -> None:
        self._books = books
        self._change = change
        self._shelf: Shelf | None = None

    def of(self, mailbox: Address, domain: str = "") -> Book:
        """The book of a recipient, with the change."""
        return self.amended(self._books.of(mailbox, domain), mailbox, domain or mailbox.domain)

    def amended(self, book: Book, mailbox: Address, domain: str) -> Book:
        """``book`` with the change; where that is not about its recipient, the very same."""
        change = self._change
        if isinstance(change, Treated):
            return _treated(book, domain, change)
        rule = change.rule
        match rule.scope:
            case Scope.MAILBOX if rule.place == mailbox.key:
                return replace(book, mailbox=self._shelf_of(book.mailbox, change))
            case Scope.DOMAIN if rule.place == domain:
                return replace(book, domain=self._shelf_of(book.domain, change))
            case Scope.SYSTEM:
                return replace(book, system=self._shelf_of(book.system, change))
            case _:
                return book

    def _shelf_of(self, shelf: Shelf, change: Added | Ended) -> Shelf:
        """The one shelf that is another; made once, for it may hold thousands of rules."""
        if self._shelf is None:
            rules = (one for one in shelf.rules if one.label != change.rule.label)
            more = (change.rule,) if isinstance(change, Added) else ()
            self._shelf = Shelf((*rules, *more))
        return self._shelf


def _treated(book: Book, domain: str, change: Treated) -> Book:
    if not change.domain:
        return replace(book, system_settings=_set(book.system_settings, change))
    if change.domain != domain:
        return book
    return replace(book, domain_settings=_set(book.domain_settings, change))


def _set(settings: Mapping[str, Treatment], change: Treated) -> Mapping[str, Treatment]:
    others = {check: said for check, said in settings.items() if check != change.check}
    return others if change.treatment is None else {**others, change.check: change.treatment}
