"""Whom the sender of a misspelt address may have meant: only those his own mail has reached."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.queue.test_contacts import LI, WANG, People
from tests.spool.mail import message

from postern.directory.correspondents import Correspondent, Notebook
from postern.mail.address import Address
from postern.notices.notice import Meant
from postern.queue.contacts import SentMail
from postern.queue.suggestions import Suggestions, nearest
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.spool.message import Origin

TEA = "tea.test"


def reached(*locals_: str) -> list[Correspondent]:
    """The latest first."""
    count = len(locals_)
    return [
        Correspondent(Address(local, TEA), 1.0, float(count - n), 1, 5.0)
        for n, local in enumerate(locals_)
    ]


@pytest.mark.parametrize(
    ("typed", "known", "expected"),
    [
        ("chen", ["chen.l"], "chen.l"),
        ("chen", ["bob", "chen.lin.shanghai"], "chen.lin.shanghai"),
        ("chen.lin.shanghai", ["chen"], "chen"),
        ("hcen", ["chen"], "chen"),
        ("Wnag", ["wang"], "wang"),
        ("chen", ["chen"], None),  # the very address: it worked once
        ("chen", ["chenghis"], None),
        ("chen", ["cherry-blossom", "ann"], None),
        ("a", ["ab"], None),
        ("info", ["sales", "billing"], None),
        ("chen", [], None),
    ],
)
def test_the_nearest(typed: str, known: list[str], expected: str | None) -> None:
    found = nearest(Address(typed, TEA), reached(*known))
    assert (None if found is None else found.address.local) == expected


def test_of_two_that_are_as_near_the_one_written_to_last() -> None:
    found = nearest(Address("chen", TEA), reached("chen-b", "chen-a"))
    assert found is not None
    assert found.address.local == "chen-b"


@dataclass
class Reached:
    asked: list[tuple[str, str]] = field(default_factory=list)
    trouble: bool = False

    def __call__(self, mailbox_id: str, domain: str, limit: int) -> Sequence[Correspondent]:
        if self.trouble:
            raise DatabaseTroubleError("no")
        assert limit > 0
        self.asked.append((mailbox_id, domain))
        return reached("chen.l")


@pytest.mark.parametrize(
    ("sender", "origin", "is_told"),
    [
        (WANG, Origin.OURS, True),
        ("sales@here.test", Origin.OURS, False),  # two people's: one's letters are not the other's
        ("stranger@far.test", Origin.OURS, False),
        (WANG, Origin.OUTSIDE_PROVEN, False),
    ],
)
async def test_only_the_senders_own_mail_is_looked_at(
    sender: str, origin: Origin, *, is_told: bool
) -> None:
    looks = Reached()
    suggestions = Suggestions(SentMail(People(), Notebook()), looks)
    made = message(1, f"chen@{TEA}", sender=sender, origin=origin)
    found = await suggestions.instead_of(made, Address("chen", TEA))
    assert found == (Meant(Address("chen.l", TEA), 1.0) if is_told else None)
    assert looks.asked == ([("id-w", TEA)] if is_told else [])


async def test_a_notice_does_not_wait_for_a_file_that_fails() -> None:
    suggestions = Suggestions(SentMail(People(), Notebook()), Reached(trouble=True))
    made = message(1, f"chen@{TEA}", sender=LI)
    assert await suggestions.instead_of(made, Address("chen", TEA)) is None
