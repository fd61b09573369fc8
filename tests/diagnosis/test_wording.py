"""Words: what the sender was told, for every way a conversation can end."""

from datetime import UTC, datetime

import pytest

from postern.diagnosis.wording import told
from postern.journal.record import Conversation, RecipientRecord


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M}"


def ended(state: str, *, accepted: bool) -> Conversation:
    recipients = [RecipientRecord("wang@harbour.example", state)]
    return Conversation(id=1, at=0.0, accepted=accepted, recipients=recipients)


def test_a_client_that_left_before_data_was_never_told_that_its_mail_is_accepted() -> None:
    text = told(ended("discarded", accepted=False), clock)
    assert "accepted" not in text
    assert text.startswith("no message was sent")


@pytest.mark.parametrize("state", ["delivered", "junked", "discarded"])
def test_accepted_mail_is_told_as_accepted(state: str) -> None:
    assert told(ended(state, accepted=True), clock) == "was told that it is accepted"
