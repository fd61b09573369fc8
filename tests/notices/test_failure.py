# ruff: noqa: RUF001 - Chinese is written with its own punctuation
from collections.abc import Callable, Sequence
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from textwrap import dedent

import pytest

from postern.mail.address import Address
from postern.mail.envelope import BodyType, Notify, Recipient, Ret, Sender
from postern.mail.outcome import Cause, Deferred, Refused
from postern.mail.reply import reply
from postern.notices.failure import failure_notice
from postern.notices.guard import RateGuard
from postern.notices.notice import (
    Answer,
    HoldInstead,
    Kind,
    Meant,
    NoNotice,
    Notice,
    Origin,
    Original,
    Others,
    RecipientEnd,
)
from postern.notices.settings import NoticeSettings

EndMaker = Callable[..., RecipientEnd]
Asker = Callable[..., tuple[Answer, ...]]
NOW = 1_795_600_000.0


@pytest.fixture
def ask(original: Original, settings: NoticeSettings, rate: RateGuard) -> Asker:
    def asked(
        ends: Sequence[RecipientEnd], about: Original = original, others: Others | None = None
    ) -> tuple[Answer, ...]:
        answers = failure_notice(
            about, ends, others=others or Others(), settings=settings, rate=rate, now=NOW
        )
        told = [end for answer in answers for end in answer.about]
        assert sorted(told, key=id) == sorted(ends, key=id), "each end is in exactly one answer"
        return answers

    return asked


def only_notice(answers: tuple[Answer, ...]) -> Notice:
    (answer,) = answers
    assert isinstance(answer, Notice)
    assert answer.sender.address is None, "a notice has the null sender"
    return answer


def text(notice: Notice) -> str:
    parsed = message_from_bytes(notice.content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    body = parsed.get_body()
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def parts(notice: Notice) -> list[Message]:
    parsed = message_from_bytes(notice.content)
    assert not parsed.defects
    return [part for part in parsed.get_payload() if isinstance(part, Message)]


def test_a_failure_notice_says_why_what_to_do_and_what_we_tried(
    ask: Asker, make_end: EndMaker
) -> None:
    notice = only_notice(ask([make_end()], others=Others(delivered=2)))
    assert notice.recipient == Address("wang", "harbour.example")
    assert notice.kind is Kind.FAILURE
    assert notice.subject == 'Not delivered: "Offer 2026-118" to chen@tea-trading.example'
    assert text(notice) == dedent(
        """\
        Your message was not delivered to chen@tea-trading.example.

        Why         That address does not exist at tea-trading.example.
        What to do  Check the spelling, or ask the recipient for the right address.
        We tried    1 time, Wed 25 Nov 17:46 (UTC+8). We will not try again.
        Others      2 other recipients: accepted by their servers.
        Code        PT-9XKD-20HM   (give this to support@host.example)

        您的邮件未能送达 chen@tea-trading.example。原因：对方没有这个地址。请检查拼
        写，或向收件人核实正确的地址。最后一次尝试：11月25日 17:46，我们不会再试。咨
        询时请告知代码 PT-9XKD-20HM（support@host.example）。

        What their server said (mx.tea.example [192.0.2.80]):
          550 5.1.1 User unknown
        """
    )


def test_the_notice_is_in_the_thread_of_the_original(ask: Asker, make_end: EndMaker) -> None:
    parsed = message_from_bytes(only_notice(ask([make_end()])).content)
    assert parsed["In-Reply-To"] == parsed["References"] == "<1@harbour.example>"
    assert parsed["Message-ID"].startswith("<failure.PT-9XKD-20HM.")
    assert parsed["From"] == '"Mail delivery at host.example" <MAILER-DAEMON@mx1.host.example>'


def test_the_same_notice_made_again_is_the_same(ask: Asker, make_end: EndMaker) -> None:
    end = make_end()
    assert only_notice(ask([end])).content == only_notice(ask([end])).content


def test_recipients_that_fail_together_are_told_in_one_notice(
    ask: Asker, make_end: EndMaker
) -> None:
    full = Refused(reply(552, "5.2.2", "Over quota"), Cause.REPLY, "192.0.2.80")
    notice = only_notice(ask([make_end(), make_end("bo", full)]))
    assert notice.subject == 'Not delivered: "Offer 2026-118" to 2 recipients'
    words = text(notice)
    for expected in ("chen@tea", "does not exist", "bo@tea", "mailbox is full", "Over quota"):
        assert expected in words
    report = parts(notice)[1].as_string()
    assert report.count("Final-Recipient:") == 2
    assert "Status: 5.2.2" in report


def test_many_recipients_stay_readable_and_all_are_reported(ask: Asker, make_end: EndMaker) -> None:
    notice = only_notice(ask([make_end(f"user{n}") for n in range(500)]))
    words = text(notice)
    assert words.count("What to do") == 20
    assert "and 280 more" in words
    assert parts(notice)[1].as_string().count("Action: failed") == 500


def test_a_message_that_waited_too_long_tells_the_last_reason(
    ask: Asker, make_end: EndMaker
) -> None:
    last = Deferred(reply(450, "4.2.2", "mailbox full"), Cause.REPLY, "192.0.2.80")
    expired = Refused(reply(554, "5.4.7", "Not delivered in time"), Cause.EXPIRED, "192.0.2.80")
    end = make_end(outcome=expired, last=last, attempts=30, first_at=NOW - 432_000)
    notice = only_notice(ask([end]))
    flat = " ".join(text(notice).split())
    assert "did not take the message in all the time we tried" in flat
    assert "At the last try: The recipient's mailbox is full." in flat
    assert "30 times, Fri 20 Nov 17:46 to Wed 25 Nov 17:46" in flat
    assert "450 4.2.2 mailbox full" in flat
    report = parts(notice)[1].as_string()
    assert "Status: 5.4.7" in report
    assert "Diagnostic-Code: x-postern; 554 5.4.7 Not delivered in time" in report


def test_our_own_words_are_not_put_in_a_peers_mouth(ask: Asker, make_end: EndMaker) -> None:
    gone = Refused(reply(550, "5.1.2", "tea-trading.example does not exist"), Cause.NO_DOMAIN)
    notice = only_notice(ask([make_end(outcome=gone)]))
    assert "What their server said" not in text(notice)
    assert "What our server noted:\n  tea-trading.example does not exist" in text(notice)
    assert "Remote-MTA" not in parts(notice)[1].as_string()


@pytest.mark.parametrize(
    ("ret", "body_bytes", "kind"),
    [
        (None, 100, "message/rfc822"),
        (None, 49_000, "message/rfc822"),
        (None, 51_000, "text/rfc822-headers"),
        (Ret.HEADERS, 100, "text/rfc822-headers"),
        (Ret.FULL, 51_000, "message/rfc822"),
        (Ret.FULL, 2_000_000, "text/rfc822-headers"),
        (Ret.FULL, None, "text/rfc822-headers"),
        (None, None, "text/rfc822-headers"),
    ],
)
def test_as_much_comes_back_as_ret_and_size_allow(
    ask: Asker,
    make_end: EndMaker,
    original: Original,
    ret: Ret | None,
    body_bytes: int | None,
    kind: str,
) -> None:
    body = None if body_bytes is None else (b"x" * 70 + b"\r\n") * (body_bytes // 72)
    about = replace(original, body=body, sender=replace(original.sender, ret=ret))
    notice = only_notice(ask([make_end()], about))
    assert parts(notice)[2].get_content_type() == kind
    if kind == "message/rfc822":
        assert original.head + (body or b"") in notice.content


def test_an_unproven_sender_gets_the_header_alone_unless_he_asked(
    ask: Asker, make_end: EndMaker, original: Original
) -> None:
    outside = replace(original, origin=Origin.OUTSIDE, account="")
    assert parts(only_notice(ask([make_end()], outside)))[2].get_content_type() == (
        "text/rfc822-headers"
    )
    asked = replace(outside, sender=replace(original.sender, ret=Ret.FULL))
    assert parts(only_notice(ask([make_end()], asked)))[2].get_content_type() == "message/rfc822"


def test_envid_and_orcpt_come_back(ask: Asker, make_end: EndMaker, original: Original) -> None:
    about = replace(original, sender=replace(original.sender, envid="QQ 314159+x"))
    recipient = Recipient(
        Address("chen", "tea-trading.example"), Notify.FAILURE, "rfc822;Chen@old.example"
    )
    report = parts(only_notice(ask([make_end(recipient=recipient)], about)))[1].as_string()
    assert "Original-Envelope-Id: QQ 314159+x" in report
    assert "Original-Recipient: rfc822; Chen@old.example" in report
    assert "Final-Recipient: rfc822; chen@tea-trading.example" in report


def test_who_asked_for_no_notice_gets_none(ask: Asker, make_end: EndMaker) -> None:
    never = Recipient(Address("bo", "x.example"), Notify.NEVER)
    only_success = Recipient(Address("di", "x.example"), Notify.SUCCESS | Notify.DELAY)
    answers = ask([make_end(), make_end(recipient=never), make_end(recipient=only_success)])
    assert [type(answer) for answer in answers] == [Notice, NoNotice]
    assert isinstance(answers[0], Notice)
    assert b"x.example" not in parts(answers[0])[1].as_bytes()


def test_never_a_notice_to_the_null_sender(
    ask: Asker, make_end: EndMaker, original: Original
) -> None:
    for origin in Origin:
        (answer,) = ask([make_end()], replace(original, sender=Sender(None), origin=origin))
        assert isinstance(answer, NoNotice)


def test_the_address_behind_an_alias_is_not_shown(ask: Asker, make_end: EndMaker) -> None:
    said = Refused(
        reply(550, "5.1.1", "<Private@Gmail.example>: no such user"), Cause.REPLY, "192.0.2.1"
    )
    end = make_end(
        outcome=said,
        recipient=Recipient(Address("private", "gmail.example")),
        original_address=Address("info", "harbour.example"),
    )
    notice = only_notice(ask([end]))
    assert b"private" not in notice.content.lower()
    assert "550 5.1.1 <info@harbour.example>: no such user" in text(notice)
    assert "Final-Recipient: rfc822; info@harbour.example" in parts(notice)[1].as_string()


def test_subject_reply_and_names_cannot_break_out(
    ask: Asker, make_end: EndMaker, original: Original
) -> None:
    evil = "x\r\nBcc: victim@a.example\r\n\r\n\x1b[2J\u202e{support}%s"
    about = replace(
        original, subject=evil, sender=replace(original.sender, envid=evil), trace="PT-1"
    )
    outcome = Refused(reply(550, "5.0.0", evil), Cause.REPLY, evil)
    notice = only_notice(ask([make_end(evil, outcome)], about))
    parsed = message_from_bytes(notice.content)
    assert parsed["Bcc"] is None
    assert all("Bcc:" not in line[:4] for line in text(notice).splitlines())
    assert "\x1b" not in text(notice)
    assert "\u202e" not in text(notice)
    assert len(parts(notice)) == 3


def test_a_chinese_subject_is_named_as_written(
    ask: Asker, make_end: EndMaker, original: Original
) -> None:
    notice = only_notice(ask([make_end()], replace(original, subject="报价单 2026")))
    parsed = message_from_bytes(notice.content, policy=policy.default)
    assert parsed["Subject"] == 'Not delivered: "报价单 2026" to chen@tea-trading.example'
    assert notice.sender.body is BodyType.SEVEN_BIT
    assert notice.sender.size_bytes == len(notice.content)


def test_an_international_sender_is_answered_internationally(
    ask: Asker, make_end: EndMaker, original: Original
) -> None:
    sender = Sender(Address("王", "harbour.example"), smtputf8=True)
    notice = only_notice(ask([make_end()], replace(original, sender=sender)))
    assert notice.sender.smtputf8
    assert notice.sender.body is BodyType.EIGHT_BIT
    assert "To: <王@harbour.example>\r\n".encode() in notice.content


def test_a_report_that_was_sent_on_is_held_and_not_reported_on(
    ask: Asker, make_end: EndMaker, original: Original
) -> None:
    head = b'Content-Type: multipart/report;\r\n report-type="delivery-status"; boundary=x\r\n\r\n'
    for origin in (Origin.OUTSIDE, Origin.OUTSIDE_PROVEN):
        (answer,) = ask([make_end()], replace(original, head=head, origin=origin))
        assert isinstance(answer, HoldInstead)


def test_every_cause_has_words_in_both_languages(ask: Asker, make_end: EndMaker) -> None:
    for cause in Cause:
        refused = Refused(reply(550, "", "words"), cause)
        words = text(only_notice(ask([make_end(outcome=refused)])))
        assert "Why " in words
        assert "原因" in words
        assert "{" not in words


@pytest.mark.parametrize(
    ("code", "enhanced", "why"),
    [
        (550, "5.1.1", "does not exist"),
        (550, "5.1.10", "does not take mail"),
        (552, "5.2.2", "mailbox is full"),
        (552, "", "mailbox is full"),
        (552, "5.3.4", "too large"),
        (550, "5.7.1", "rule of its own"),
        (550, "5.7.26", "could not confirm"),
        (550, "", "refused the message"),
        (599, "5.9.99", "refused the message"),
        (550, "nonsense", "refused the message"),
    ],
)
def test_the_status_code_decides_what_is_said(
    ask: Asker, make_end: EndMaker, code: int, enhanced: str, why: str
) -> None:
    outcome = Refused(reply(code, enhanced, "no"), Cause.REPLY, "192.0.2.80")
    assert why in " ".join(text(only_notice(ask([make_end(outcome=outcome)]))).split())


@pytest.mark.parametrize(
    ("wrote_at", "month", "month_zh"),
    [
        (NOW - 60, "in November", "11月"),
        (NOW - 250 * 86_400, "in March", "3月"),
        (NOW - 615 * 86_400, "in March 2025", "2025年3月"),
    ],
)
def test_a_notice_says_whom_the_sender_may_have_meant(
    ask: Asker, make_end: EndMaker, wrote_at: float, month: str, month_zh: str
) -> None:
    meant = Meant(Address("chen.l", "tea-trading.example"), wrote_at)
    said = text(only_notice(ask([make_end(meant=meant)])))
    english = " ".join(said.split())
    assert (
        "Check the spelling, or ask the recipient for the right address. You wrote to"
        f" chen.l@tea-trading.example {month}; that one works."
    ) in english
    chinese = "".join(said.split())
    assert f"您曾在{month_zh}写信到chen.l@tea-trading.example，该地址有效。" in chinese
