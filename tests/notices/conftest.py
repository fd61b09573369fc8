"""A message and its ends, as the queue would hand them over."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from postern.mail.address import Address
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause, Outcome, Refused
from postern.mail.reply import reply
from postern.notices.guard import RateGuard
from postern.notices.notice import Origin, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

NOW = 1_795_600_000.0

NoSuchUser = Refused(
    reply(550, "5.1.1", "User unknown"), Cause.REPLY, "mx.tea.example [192.0.2.80]"
)


@pytest.fixture
def settings() -> NoticeSettings:
    return NoticeSettings(
        "mx1.host.example", "host.example", "support@host.example", timezone(timedelta(hours=8))
    )


@pytest.fixture
def rate(settings: NoticeSettings) -> RateGuard:
    return RateGuard(settings)


@pytest.fixture
def original() -> Original:
    head = (
        b"From: wang@harbour.example\r\nSubject: Offer 2026-118\r\n"
        b"Message-ID: <1@harbour.example>\r\n\r\n"
    )
    return Original(
        trace="PT-9XKD-20HM",
        sender=Sender(Address("wang", "harbour.example")),
        arrived_at=NOW - 60,
        head=head,
        body=b"Hello\r\n",
        size_bytes=len(head) + 7,
        subject="Offer 2026-118",
        origin=Origin.OURS,
        account="wang@harbour.example",
    )


EndMaker = Callable[..., RecipientEnd]


@pytest.fixture
def make_end() -> EndMaker:
    def make(
        local: str = "chen",
        outcome: Outcome = NoSuchUser,
        recipient: Recipient | None = None,
        **changes: object,
    ) -> RecipientEnd:
        end = RecipientEnd(
            recipient=recipient or Recipient(Address(local, "tea-trading.example")),
            outcome=outcome,
            attempts=1,
            first_at=NOW,
            last_attempt_at=NOW,
        )
        return replace(end, **changes)  # type: ignore[arg-type]  # tests name real fields

    return make
