"""Whom our users are noted to have written to, by the mail they send."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.queue.stage import UNKNOWN, Stage
from tests.spool.mail import message

from postern.directory.correspondents import Notebook
from postern.directory.model import Domain, Mailbox
from postern.directory.resolution import Destination, NotOurs, Resolution, Resolved, Store, Via
from postern.mail.address import Address
from postern.mail.envelope import Sender
from postern.queue.contacts import SentMail
from postern.spool.message import Message, Origin

WANG, LI = "wang@here.test", "li@here.test"


@dataclass
class People:
    """wang and li live here.test; sales leads to both; gate.test has a server of its own."""

    broken: bool = False
    mailboxes: dict[str, Mailbox] = field(
        default_factory=lambda: {
            who: Mailbox(f"id-{who[0]}", Address(who.partition("@")[0], "here.test"), 0.0)
            for who in (WANG, LI)
        }
    )

    def domain(self, name: str) -> Domain | None:
        if self.broken:
            raise ZeroDivisionError
        gate = "mx.gate.test" if name == "gate.test" else None
        return Domain("1", name, 0.0, gate) if name in {"here.test", "gate.test"} else None

    def resolve(self, address: Address) -> Resolution:
        names = [WANG, LI] if address.local in {"sales", "anything"} else [str(address)]
        boxes = [self.mailboxes[name].address for name in names if name in self.mailboxes]
        if not boxes:
            return NotOurs()
        if address.local == "anything":
            return Resolved((), Via.CATCH_ALL, stores=(Store(boxes[0], ""),))
        places = tuple(Destination(box, local=True) for box in boxes)
        return Resolved(places, Via.MAILBOX, stores=tuple(Store(box, "") for box in boxes))

    def mailbox_of(self, address: Address) -> Mailbox | None:
        return self.mailboxes.get(str(Address(address.local.partition("+")[0], address.domain)))


def noted(*messages: Message, people: People | None = None) -> set[tuple[str, str]]:
    """Which mailbox knows whom after these were accepted."""
    notebook = Notebook()
    sent = SentMail(people or People(), notebook)
    for made in messages:
        sent.wrote(made)
    return {(key.mailbox_id, f"{key.local}@{key.domain}") for key in notebook.take()}


def by(account: str, made: Message) -> Message:
    made.conversation.account = account
    return made


def test_who_logged_in_gets_to_know_everybody_outside() -> None:
    made = by(WANG, message(1, "Chen@tea.test", "ann@gate.test", LI, sender="sales@here.test"))
    assert noted(made) == {("id-w", "chen@tea.test"), ("id-w", "ann@gate.test")}


@pytest.mark.parametrize(
    ("sender", "owners"),
    [
        (WANG, {"id-w"}),
        ("sales@here.test", {"id-w", "id-l"}),
        ("anything@here.test", set()),  # the catch-all's
        ("stranger@far.test", set()),
        ("", set()),
    ],
)
def test_without_a_login_it_is_whoever_gets_the_senders_mail(sender: str, owners: set[str]) -> None:
    made = by("www-data", message(1, "chen@tea.test", sender=sender))
    assert noted(made) == {(owner, "chen@tea.test") for owner in owners}


@pytest.mark.parametrize("origin", [Origin.OUTSIDE, Origin.OUTSIDE_PROVEN])
def test_nobody_becomes_known_by_forging(origin: Origin) -> None:
    assert noted(message(1, "chen@tea.test", sender=WANG, origin=origin)) == set()


def test_where_an_alias_leads_its_sender_did_not_write() -> None:
    made = message(1, "friend@far.test", sender=WANG)
    made.deliveries[0].original = "sales@here.test"
    assert noted(made) == set()


@pytest.mark.parametrize(
    ("field_line", "is_known"),
    [
        (b"Auto-Submitted: auto-replied", False),
        (b"AUTO-SUBMITTED:auto-generated (rejected)", False),
        (b"Auto-Submitted: no", True),
        (b"X-Auto-Submitted: auto-replied", True),
        (b"Subject: tea\r\n\r\nAuto-Submitted: auto-replied", True),
    ],
)
def test_an_automatic_answer_makes_nobody_known(field_line: bytes, *, is_known: bool) -> None:
    body = b"From: wang@here.test\r\n" + field_line + b"\r\n\r\nI am away.\r\n"
    assert bool(noted(message(1, "chen@tea.test", sender=WANG, body=body))) is is_known


def test_an_error_of_ours_stops_no_mail(capsys: pytest.CaptureFixture[str]) -> None:
    assert noted(message(1, "chen@tea.test", sender=WANG), people=People(broken=True)) == set()
    assert "contacts_bug" in "".join(capsys.readouterr())


async def test_the_queue_tells_what_was_sent_and_what_arrived(tmp_path: Path) -> None:
    stage, notebook = Stage(tmp_path), Notebook()
    stage.contacts = SentMail(People(), notebook)
    await stage.restart()
    stage.courier.script["gone@tea.test"] = [UNKNOWN]
    notice = message(2, "ann@tea.test")
    notice.sender = Sender(None)
    await stage.accept(message(1, "chen@tea.test", "gone@tea.test", sender=WANG), notice)
    await stage.settle()
    assert stage.queue.attempts == {"delivered": 2, "deferred": 0, "refused": 1}
    found = {key.local: (note.times, note.delivered_at) for key, note in notebook.take().items()}
    assert found == {"chen": (1, stage.clock.now()), "gone": (1, None)}
    await stage.close()
