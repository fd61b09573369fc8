from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest

from postern.mail.address import Address
from postern.mail.envelope import Notify, Recipient
from postern.mail.outcome import Cause, Deferred
from postern.mail.reply import reply
from postern.notices.delay import delay_notice, delay_notice_due
from postern.notices.notice import Kind, NoNotice, Notice, Origin, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

EndMaker = Callable[..., RecipientEnd]
NOW = 1_795_600_000.0
SILENT = Deferred(reply(451, "4.4.1", "no answer within 30 s"), Cause.SILENT)


@pytest.mark.parametrize(
    ("waited_s", "blocked", "sent", "due"),
    [
        (3 * 3600, False, False, False),
        (4 * 3600, False, False, True),
        (4 * 3600, False, True, False),
        (3599, True, False, False),
        (3600, True, False, True),
        (3600, True, True, False),
        (3600, False, False, False),
    ],
)
def test_a_delay_is_told_once_after_four_hours_or_one_of_a_blocked_group(
    settings: NoticeSettings, waited_s: float, *, blocked: bool, sent: bool, due: bool
) -> None:
    told = delay_notice_due(
        NOW, NOW + waited_s, group_blocked=blocked, already_sent=sent, settings=settings
    )
    assert told is due


def test_a_delay_notice_names_the_next_and_the_last_try(
    original: Original, settings: NoticeSettings, make_end: EndMaker
) -> None:
    end = make_end(
        outcome=SILENT,
        attempts=7,
        next_attempt_at=NOW + 1200,
        will_retry_until=NOW + 400_000,
        last_attempt_at=NOW + 900,
    )
    (notice,) = delay_notice(original, [end], settings=settings, now=NOW + 900)
    assert isinstance(notice, Notice)
    assert notice.kind is Kind.DELAY
    assert notice.sender.address is None
    assert notice.subject == 'Delayed: "Offer 2026-118" to chen@tea-trading.example'
    parsed = message_from_bytes(notice.content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    body = parsed.get_body()
    assert body is not None
    words = str(body.get_content())
    assert "The mail server of tea-trading.example does not answer." in words
    assert "7 times, Wed 25 Nov 17:46 to Wed 25 Nov 18:01 (UTC+8)" in words
    assert "Next try    Wed 25 Nov 18:06 (UTC+8)" in words
    assert "Last try    Mon 30 Nov 08:53 (UTC+8)" in words
    assert "no answer within 30 s" in words
    assert "被延误" in words
    parts = [p for p in message_from_bytes(notice.content).get_payload() if isinstance(p, Message)]
    report = parts[1].as_string()
    assert "Action: delayed" in report
    assert "Status: 4.4.1" in report
    assert "Will-Retry-Until: Mon, 30 Nov 2026 00:53:20 +0000" in report
    assert parts[2].get_content_type() == "text/rfc822-headers"


def test_several_delayed_recipients_share_one_notice(
    original: Original, settings: NoticeSettings, make_end: EndMaker
) -> None:
    ends = [make_end(f"u{n}", SILENT) for n in range(30)]
    (notice,) = delay_notice(original, ends, settings=settings, now=NOW)
    assert isinstance(notice, Notice)
    assert "30 recipients" in notice.subject
    assert notice.about == tuple(ends)


def test_delays_are_told_only_to_our_users_who_want_to_know(
    original: Original, settings: NoticeSettings, make_end: EndMaker
) -> None:
    quiet = Recipient(Address("a", "b.example"), Notify.FAILURE)
    for about, end in (
        (original, make_end(outcome=SILENT, recipient=quiet)),
        (replace(original, origin=Origin.OUTSIDE), make_end(outcome=SILENT)),
        (replace(original, origin=Origin.OUTSIDE_PROVEN), make_end(outcome=SILENT)),
    ):
        (answer,) = delay_notice(about, [end], settings=settings, now=NOW)
        assert isinstance(answer, NoNotice)
