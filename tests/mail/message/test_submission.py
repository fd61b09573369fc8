import pytest

from postern.mail.address import Address
from postern.mail.message.submission import Fixes, fix_submission

WANG = Address("wang", "harbour.example")
DATE = b"Date: Wed, 25 Nov 2026 09:46:40 +0000\r\n"
ID = b"Message-ID: <1795600000.PT-7Q2M-K4XD@mx.example>\r\n"
FROM = b"From: wang@harbour.example\r\n"
WHOLE = b"Date: x\r\nMessage-ID: <1@x>\r\nFrom: a@b.example\r\n"


def fixed(data: bytes, sender: Address | None = WANG) -> bytes:
    return fixes(data, sender).apply(data)


def fixes(data: bytes, sender: Address | None = WANG) -> Fixes:
    return fix_submission(
        data, now=1_795_600_000.0, hostname="mx.example", trace="PT-7Q2M-K4XD", sender=sender
    )


def test_a_complete_header_is_left_as_it_is() -> None:
    data = WHOLE + b"Sender: other@c.example\r\nX: \xff\r\n\r\nBcc: in the body\r\n"
    assert fixes(data) == Fixes((), b"")
    assert fixed(data) == data


def test_every_bcc_goes_however_it_is_folded() -> None:
    data = (
        b"bCC: a@x.example\r\n" + WHOLE + b"Bcc :\r\n a@x.example,\r\n\tb@x.example\r\n"
        b"Resent-Bcc: c@x.example\r\nSubject: Bcc: me\r\nBcc:\r\n\r\nBcc: body\r\n"
    )
    assert fixed(data) == WHOLE + b"Subject: Bcc: me\r\n\r\nBcc: body\r\n"


def test_what_is_missing_is_put_in_front() -> None:
    assert fixed(b"Subject: x\r\n\r\nhello\r\n") == (
        DATE + ID + FROM + b"Subject: x\r\n\r\nhello\r\n"
    )


def test_a_field_without_content_counts_as_missing() -> None:
    data = b"Date:\r\nMessage-ID:  \r\nFrom: a@b.example\r\n\r\n"
    assert fixed(data) == DATE + ID + b"From: a@b.example\r\n\r\n"


def test_the_null_sender_adds_no_from() -> None:
    assert fixed(b"Subject: x\r\n\r\n", sender=None) == DATE + ID + b"Subject: x\r\n\r\n"
    assert b"From: \r\n" in fixed(b"From: \r\nSubject: x\r\n\r\n", sender=None)


def test_an_empty_header_gets_one() -> None:
    assert fixed(b"\r\nhello\r\n") == DATE + ID + FROM + b"\r\nhello\r\n"


@pytest.mark.parametrize("data", [b"hello world\r\n", b"hello\r\n\r\nBcc: not a header\r\n"])
def test_text_without_a_header_becomes_a_body(data: bytes) -> None:
    assert fixed(data) == DATE + ID + FROM + b"\r\n" + data


def test_an_mbox_line_in_front_goes() -> None:
    data = b"From wang Mon Nov 23 2026\r\n" + WHOLE + b"Bcc: x\r\n\r\nbody\r\n"
    assert fixed(data) == WHOLE + b"\r\nbody\r\n"


def test_the_body_is_never_touched_even_without_an_end_of_the_header() -> None:
    assert fixed(WHOLE + b"Bcc: x\r\n") == WHOLE


def test_odd_senders_cannot_break_out_of_from() -> None:
    odd = Address('a"b c\r\nBcc: x', "harbour.example")
    assert b"\r\nBcc" not in fixed(b"Subject: x\r\n\r\n", sender=odd)
