from collections.abc import Callable
from email import message_from_bytes
from email.message import Message

import pytest

from postern.mail.address import Address
from postern.mail.envelope import Notify, Recipient
from postern.mail.outcome import Delivered
from postern.mail.reply import reply
from postern.notices.guard import RateGuard
from postern.notices.notice import Kind, NoNotice, Notice, Original, RecipientEnd
from postern.notices.settings import NoticeSettings
from postern.notices.success import success_notice

EndMaker = Callable[..., RecipientEnd]
NOW = 1_795_600_000.0
ASKED = Recipient(Address("chen", "tea-trading.example"), Notify.SUCCESS | Notify.FAILURE)


def handed_on(*, without_dsn: bool) -> Delivered:
    return Delivered(reply(250, "2.6.0", "Queued"), "mx.tea.example [192.0.2.80]", without_dsn)


def report(notice: Notice) -> str:
    parts = [p for p in message_from_bytes(notice.content).get_payload() if isinstance(p, Message)]
    assert parts[2].get_content_type() == "text/rfc822-headers", "RET is for failures alone"
    return parts[1].as_string()


@pytest.mark.parametrize(
    ("is_ours", "without_dsn", "expanded", "action", "title"),
    [
        (True, False, False, "delivered", "Delivered: "),
        (False, True, False, "relayed", "Passed on: "),
        (False, False, True, "expanded", "Passed on: "),
    ],
)
def test_success_is_told_to_who_asked_for_it(
    original: Original,
    settings: NoticeSettings,
    rate: RateGuard,
    make_end: EndMaker,
    action: str,
    title: str,
    *,
    is_ours: bool,
    without_dsn: bool,
    expanded: bool,
) -> None:
    end = make_end(outcome=handed_on(without_dsn=without_dsn), recipient=ASKED, is_ours=is_ours)
    (notice,) = success_notice(
        original, [end], settings=settings, rate=rate, now=NOW, expanded=expanded
    )
    assert isinstance(notice, Notice)
    assert notice.kind is Kind.SUCCESS
    assert notice.subject.startswith(title)
    assert f"Action: {action}" in report(notice)
    assert "Status: 2.6.0" in report(notice)


def test_nobody_is_told_of_success_unasked(
    original: Original, settings: NoticeSettings, rate: RateGuard, make_end: EndMaker
) -> None:
    end = make_end(outcome=handed_on(without_dsn=True))
    (answer,) = success_notice(original, [end], settings=settings, rate=rate, now=NOW)
    assert isinstance(answer, NoNotice)


def test_a_server_that_knows_dsn_reports_itself(
    original: Original, settings: NoticeSettings, rate: RateGuard, make_end: EndMaker
) -> None:
    theirs = make_end(outcome=handed_on(without_dsn=False), recipient=ASKED)
    ours = make_end(outcome=handed_on(without_dsn=False), recipient=ASKED, is_ours=True)
    notice, answer = success_notice(original, [theirs, ours], settings=settings, rate=rate, now=NOW)
    assert isinstance(notice, Notice)
    assert notice.about == (ours,)
    assert isinstance(answer, NoNotice)
    assert answer.about == (theirs,)
