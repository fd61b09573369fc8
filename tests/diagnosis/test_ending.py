"""How it ended, and the exit status."""

import pytest

from postern.diagnosis.ending import Ending, Exit, deciding, ending_of, exit_for
from postern.journal.record import Because, Conversation, RecipientRecord


def conversation(number: int, *states: str, sender: str = "li@tea.example") -> Conversation:
    return Conversation(
        id=number,
        at=float(number),
        mail_from=sender,
        recipients=[RecipientRecord(f"u{n}@h.example", s) for n, s in enumerate(states)],
    )


@pytest.mark.parametrize(
    ("state", "exit_code"),
    [
        ("delivered", 0),
        ("waiting", 1),
        ("held", 1),
        ("junked", 1),
        ("refused", 2),
        ("refused-for-now", 2),
        ("bounced", 2),
        ("discarded", 2),
        ("a-state-of-next-year", 3),
    ],
)
def test_each_state_has_its_exit_status(state: str, exit_code: int) -> None:
    assert exit_for([conversation(1, state)], is_all_read=True).value == exit_code


def test_nothing_found_is_4_and_3_when_not_all_could_be_read() -> None:
    assert exit_for([], is_all_read=True) is Exit.NOT_FOUND
    assert exit_for([], is_all_read=False) is Exit.COULDNT_TELL


def test_the_worst_recipient_decides() -> None:
    assert ending_of(conversation(1, "delivered", "bounced", "waiting")) is Ending.BOUNCED


def test_a_server_that_came_back_and_delivered_is_delivered() -> None:
    found = [conversation(2, "delivered"), conversation(1, "refused-for-now")]
    assert exit_for(found, is_all_read=True) is Exit.OK
    assert deciding(found) is found[0]


def test_a_later_delivery_to_someone_else_hides_no_refusal() -> None:
    found = [conversation(2, "delivered", sender="x@y.example"), conversation(1, "refused")]
    assert deciding(found) is found[1]
    assert exit_for(found, is_all_read=True) is Exit.PROBLEM


def test_refused_before_anyone_was_named() -> None:
    refused = Conversation(id=1, at=0.0, because=Because("ptr.missing", "no name", "sender"))
    waits = Conversation(id=2, at=0.0, because=Because("greylist.wait", "wait", "us"))
    unsure = Conversation(id=3, at=0.0, because=Because("ptr.couldnt-tell", "no answer", "between"))
    assert ending_of(refused) is Ending.REFUSED
    assert ending_of(waits) is Ending.REFUSED_FOR_NOW
    assert ending_of(unsure) is Ending.REFUSED_FOR_NOW
    assert ending_of(Conversation(id=4, at=0.0)) is Ending.NOTHING_SENT
