"""Which scanners a message is shown to, for the recipients that it has."""

import pytest
from tests.policy.making import address, book

from postern.policy.recipient import need_of

ALL = frozenset({"virus", "spam", "command"})
WANG = address("wang@harbour.example")
POSTMASTER = address("postmaster@harbour.example")


@pytest.mark.parametrize(
    ("settings", "families", "hurried"),
    [
        ("", "virus spam command", ""),
        ("spam.score=off", "virus command", ""),
        ("spam.score=note", "virus spam command", "spam"),
        ("command.found=off spam.score=off", "virus", ""),
        ("virus.found=off", "virus spam command", ""),  # locked: nobody can
    ],
)
def test_what_no_verdict_rests_on_is_not_asked_for_or_not_for_long(
    settings: str, families: str, hurried: str
) -> None:
    need = need_of([(WANG, book(domain=settings))], ALL)
    assert need.families == frozenset(families.split())
    assert need.hurried == frozenset(hurried.split())


def test_one_recipient_who_wants_it_is_enough() -> None:
    books = [(WANG, book(domain="spam.score=off")), (WANG, book())]
    need = need_of(books, ALL)
    assert need.families == ALL
    assert need.hurried == frozenset()


def test_postmaster_needs_nothing_but_viruses() -> None:
    assert need_of([(POSTMASTER, book())], ALL).families == {"virus"}


def test_only_scanners_that_are_there_are_needed() -> None:
    assert need_of([(WANG, book())], frozenset({"spam"})).families == {"spam"}
