from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message

import pytest

from postern.mail.address import Address
from postern.mail.dsn import (
    Action,
    Letter,
    RecipientReport,
    Report,
    Returned,
    compose,
    compose_plain,
    cut_head,
    encode_header,
    status_of,
)

NOW = 1_795_600_000.0
CHEN = Address("chen", "tea-trading.example")
HEAD = b"From: wang@harbour.example\r\nSubject: Offer\r\n\r\n"
EVIL = "x\r\nBcc: victim@a.example\r\n\r\n--\x1b[2J\0\u2028y"


def letter(
    subject: str = 'Not delivered: "报价单" to chen@tea-trading.example',
    sender_name: str = "Mail delivery at host.example",
    text: str = "Your message was not delivered.\n\n您的邮件未能送达。\n.\nFrom here\n",
) -> Letter:
    return Letter(
        sender_name=sender_name,
        sender=Address("MAILER-DAEMON", "mx1.host.example"),
        to=Address("wang", "harbour.example"),
        subject=subject,
        text=text,
        message_id="<failure.PT-1@mx1.host.example>",
        at=NOW,
    )


def failed(final: Address = CHEN, diagnostic: str = "550 5.1.1 User unknown") -> RecipientReport:
    return RecipientReport(
        final=final,
        action=Action.FAILED,
        status="5.1.1",
        orcpt="rfc822;Chen+x@tea-trading.example",
        remote="mx.tea.example [192.0.2.80]",
        diagnostic=diagnostic,
        last_attempt_at=NOW,
        log_id="PT-9XKD-20HM",
    )


def report(*recipients: RecipientReport, envid: str | None = "QQ 314159") -> Report:
    return Report("mx1.host.example", NOW - 60, recipients or (failed(),), envid)


def composed(
    original: Returned | None = None,
    about: Report | None = None,
    note: Letter | None = None,
    *,
    smtputf8: bool = False,
) -> bytes:
    content = compose(
        note or letter(), about or report(), original or Returned(HEAD), smtputf8=smtputf8
    )
    # What holds of every notice: CR LF only, no line too long, three parts the stdlib agrees on.
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    parsed = message_from_bytes(content)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert len(parts(content)) == 3
    assert not parsed.defects
    return content


def parts(content: bytes) -> list[Message]:
    payload = message_from_bytes(content).get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


def groups(content: bytes) -> list[Message]:
    payload = parts(content)[1].get_payload()
    assert isinstance(payload, list)
    return [group for group in payload if isinstance(group, Message) and group.keys()]


def text(content: bytes) -> str:
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    body = parsed.get_body()
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_the_header_says_who_what_and_that_no_person_wrote_it() -> None:
    parsed = message_from_bytes(composed())
    assert parsed["From"] == '"Mail delivery at host.example" <MAILER-DAEMON@mx1.host.example>'
    assert parsed["To"] == "<wang@harbour.example>"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["Content-Language"] == "en, zh-Hans"
    assert parsed["Date"] == "Wed, 25 Nov 2026 09:46:40 +0000"
    subject = str(make_header(decode_header(parsed["Subject"])))
    assert subject == 'Not delivered: "报价单" to chen@tea-trading.example'


def test_the_words_come_through_in_both_languages() -> None:
    assert text(composed()) == letter().text


def test_the_report_has_every_field_that_is_asked_for() -> None:
    late = RecipientReport(
        final=Address("bo", "x.example"),
        action=Action.DELAYED,
        status="4.4.1",
        diagnostic="no answer within 30 s",
        diagnostic_type="x-postern",
        will_retry_until=NOW + 86_400,
    )
    message, first, second = groups(composed(about=report(failed(), late)))
    assert message.items() == [
        ("Original-Envelope-Id", "QQ 314159"),
        ("Reporting-MTA", "dns; mx1.host.example"),
        ("Arrival-Date", "Wed, 25 Nov 2026 09:45:40 +0000"),
    ]
    assert first.items() == [
        ("Original-Recipient", "rfc822; Chen+x@tea-trading.example"),
        ("Final-Recipient", "rfc822; chen@tea-trading.example"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.tea.example"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 User unknown"),
        ("Last-Attempt-Date", "Wed, 25 Nov 2026 09:46:40 +0000"),
        ("Final-Log-ID", "PT-9XKD-20HM"),
    ]
    assert second.items() == [
        ("Final-Recipient", "rfc822; bo@x.example"),
        ("Action", "delayed"),
        ("Status", "4.4.1"),
        ("Diagnostic-Code", "x-postern; no answer within 30 s"),
        ("Will-Retry-Until", "Thu, 26 Nov 2026 09:46:40 +0000"),
    ]


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("192.0.2.80", "dns; [192.0.2.80]"),
        ("2001:db8::1", "dns; [IPv6:2001:db8::1]"),
        ("mx.example [192.0.2.80]", "dns; mx.example"),
    ],
)
def test_a_remote_server_is_named_as_dns_would(remote: str, name: str) -> None:
    one = RecipientReport(CHEN, Action.FAILED, "5.0.0", remote=remote)
    assert groups(composed(about=report(one)))[1]["Remote-MTA"] == name


def test_a_returned_message_is_the_same_to_the_byte() -> None:
    body = b"Hello  \r\n.\r\n--boundary\r\nFrom me\r\n\r\n"
    content = composed(Returned(HEAD, body))
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" in content
    assert HEAD + body + b"\r\n--=_" in content


def test_without_a_body_the_header_comes_back() -> None:
    part = parts(composed())[2]
    assert part.get_content_type() == "text/rfc822-headers"
    assert part.get_payload() == "From: wang@harbour.example\r\nSubject: Offer\r\n"


def test_an_8_bit_original_makes_the_notice_8_bit() -> None:
    content = composed(Returned(HEAD, "你好\r\n".encode()))
    assert message_from_bytes(content)["Content-Transfer-Encoding"] == "8bit"
    assert parts(content)[2]["Content-Transfer-Encoding"] == "8bit"
    assert "你好\r\n".encode() in content


@pytest.mark.parametrize("body", [b"x" * 999 + b"\r\n", b"a\0b\r\n", b"a\nb\r\n", b"a\rb\r\n"])
def test_what_cannot_travel_inside_a_message_is_left_out(body: bytes) -> None:
    content = composed(Returned(HEAD, body))
    assert parts(content)[2].get_content_type() == "text/rfc822-headers"


def test_an_8_bit_header_is_encoded_where_utf_8_may_not_go() -> None:
    head = "Subject: 报价\r\nX: \0 long".encode() + b"y" * 2000 + b"\r\n\r\n"
    content = composed(Returned(head))
    assert content.isascii()
    assert parts(content)[2].get_payload(decode=True) == head[:-2]


def test_utf_8_readers_get_the_global_types() -> None:
    head = "From: <wáng@harbour.example>\r\n\r\n".encode()
    about = report(failed(Address("用户", "xn--bcher-kva.example")))
    content = composed(Returned(head, b"x\r\n"), about, smtputf8=True)
    kinds = [part.get_content_type() for part in parts(content)]
    assert kinds == ["text/plain", "message/global-delivery-status", "message/global"]
    assert "Final-Recipient: utf-8; 用户@xn--bcher-kva.example\r\n".encode() in content
    headers = composed(Returned(head), about, smtputf8=True)
    assert parts(headers)[2].get_content_type() == "message/global-headers"


def test_utf_8_addresses_are_escaped_for_everyone_else() -> None:
    content = composed(about=report(failed(Address("用+a", "xn--bcher-kva.example"))))
    assert content.isascii()
    group = groups(content)[1]
    assert group["Final-Recipient"] == "utf-8; \\x{7528}\\x{2B}a@xn--bcher-kva.example"


def test_nothing_from_outside_can_end_a_line() -> None:
    one = RecipientReport(
        final=Address(EVIL, "x.example"),
        action=Action.FAILED,
        status="5.0.0",
        orcpt=f"rfc822;{EVIL}",
        remote=EVIL,
        diagnostic=EVIL,
        log_id=EVIL,
    )
    note = letter(subject=EVIL, sender_name=f'{EVIL}" <a@b>', text=EVIL.replace("\r\n", "\n"))
    content = composed(about=report(one, envid=EVIL), note=note)
    parsed = message_from_bytes(content)
    assert parsed["Bcc"] is None
    assert [group["Bcc"] for group in groups(content)] == [None, None]
    assert len(groups(content)) == 2
    assert b"\nBcc" not in content.split(b"Content-Type: text/plain")[0]
    plain = compose_plain(note)
    assert b"\nBcc" not in plain.split(b"\r\n\r\n")[0]


def test_long_words_and_long_replies_are_folded_and_cut() -> None:
    content = composed(about=report(failed(diagnostic="550 " + "x" * 5000 + " word" * 1000)))
    diagnostic = groups(content)[1]["Diagnostic-Code"]
    assert diagnostic.startswith("smtp; 550")
    assert len(diagnostic) < 2200


def test_no_original_can_close_the_part_it_is_in() -> None:
    # The notice about a notice that holds the very same parts has another boundary.
    first = composed(Returned(HEAD, b"x\r\n"))
    second = composed(Returned(HEAD, first))
    assert message_from_bytes(first).get_boundary() != message_from_bytes(second).get_boundary()


def test_huge_headers_are_cut_at_a_line() -> None:
    head = b"Received: from x\r\n" * 20_000 + b"\r\n"
    cut = cut_head(head)
    assert 60_000 < len(cut) <= 64 * 1024
    assert cut.endswith(b"Received: from x\r\n")
    assert len(composed(Returned(head))) < 70_000


def test_encoded_words_split_between_characters_and_stay_short() -> None:
    line = encode_header("Subject", "报价单" * 40)
    assert all(len(part) < 78 for part in line.split(b"\r\n"))
    assert str(make_header(decode_header(line[9:].decode().strip()))) == "报价单" * 40


def test_text_that_looks_encoded_is_shown_as_it_is() -> None:
    line = encode_header("Subject", "=?utf-8?q?hi=0d=0aBcc:x?=")
    assert b"Bcc" not in line
    assert str(make_header(decode_header(line[9:].decode().strip()))) == "=?utf-8?q?hi=0d=0aBcc:x?="


@pytest.mark.parametrize(
    ("enhanced", "status"),
    [("5.1.1", "5.1.1"), ("", "5.0.0"), ("9.9", "5.0.0"), ("5.1.1\r\n", "5.0.0")],
)
def test_only_real_status_codes_are_passed_on(enhanced: str, status: str) -> None:
    assert status_of(enhanced, "5.0.0") == status


def test_a_plain_letter_is_text_alone() -> None:
    content = compose_plain(letter())
    parsed = message_from_bytes(content, policy=policy.default)
    assert parsed.get_content_type() == "text/plain"
    assert text(content) == letter().text
    assert content.isascii()
