import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.address import Address
from postern.mail.envelope import TlsWish
from postern.mail.message.submission import fix_submission
from postern.mail.message.summary import summarise


def test_a_header_is_summed_up_in_one_pass() -> None:
    head = (
        b"Received: a\r\nRECEIVED: b\r\n\tc\r\nFrom: Wang <wang@harbour.example>\r\n"
        b"Subject: =?utf-8?b?5oql5Lu35Y2V?=\r\nMessage-ID: <1@x>\r\nDate: now\r\n"
        b"Subject: second\r\n\r\nReceived: in the body\r\n"
    )
    summary = summarise(head)
    assert summary.received_count == 2
    assert summary.from_header == "wang@harbour.example"
    assert summary.from_address == Address("wang", "harbour.example")
    assert summary.subject == "报价单"
    assert summary.message_id == "<1@x>"
    assert summary.has_date
    assert summary.from_count == 1
    assert head[summary.header_end :] == b"Received: in the body\r\n"
    assert summary.is_complete
    assert not summary.is_overlong


def test_an_empty_header_sums_up_to_nothing() -> None:
    summary = summarise(b"\r\nhello\r\n")
    assert (summary.subject, summary.message_id, summary.from_header) == ("", "", "")
    assert not summary.has_date
    assert summary.header_end == 2


def test_a_from_that_is_no_address_is_still_shown_as_text() -> None:
    summary = summarise(b"From: alice@a.example)bob@evil.example\r\n\r\n")
    assert summary.from_address is None
    assert summary.from_header == "alice@a.example)bob@evil.example"


def test_a_hundred_hops_are_counted() -> None:
    assert summarise(b"Received: x\r\n" * 100 + b"\r\n").received_count == 100


_FIELDS = st.sampled_from(
    [
        b"Date: now\r\n",
        b"Date:\r\n",
        b"Message-ID: <1@x>\r\n",
        b"Message-ID: \r\n \r\n",
        b"From: a@b.example\r\n",
        b"From:\r\n",
        b"Bcc: c@d.example\r\n",
        b"RESENT-BCC : c@d.example\r\n",
        b"Subject: x\r\n",
        b"From somewhere Mon Jan  1\r\n",
        b"no field at all\r\n",
    ]
)


@given(st.lists(_FIELDS, max_size=8), st.sampled_from([b"", b"\r\nbody\r\n"]))
def test_a_header_that_is_fit_has_nothing_to_mend(fields: list[bytes], end: bytes) -> None:
    head = b"".join(fields) + end
    fixes = fix_submission(
        head, now=0.0, hostname="mx.example", trace="PT-0", sender=Address("a", "b.example")
    )
    # Not the other way round: two Date fields, the first empty, get a second look for nothing.
    assert not (summarise(head).is_fit and (fixes.removals or fixes.additions))


def test_an_ordinary_header_is_fit() -> None:
    head = b"Date: now\r\nMessage-ID: <1@x>\r\nFrom: a@b.example\r\nSubject: x\r\n\r\n"
    assert summarise(head).is_fit


@pytest.mark.parametrize(
    ("fields", "wish"),
    [
        (b"TLS-Required: No\r\n", TlsWish.OPTIONAL),
        (b"tls-required:\r\n no \r\n", TlsWish.OPTIONAL),
        (b"TLS-Required: Yes\r\n", TlsWish.NONE),
        (b"TLS-Required: No\r\nTLS-Required: No\r\n", TlsWish.NONE),
        (b"X-Postern-Encrypt: yes\r\n", TlsWish.ENCRYPT),
        (b"TLS-Required: No\r\nX-Postern-Encrypt: Yes\r\n", TlsWish.ENCRYPT),
        (b"X-Postern-Encrypt: no\r\n", TlsWish.NONE),
        (b"", TlsWish.NONE),
    ],
    ids=["no", "folded", "another-word", "twice", "encrypt", "both", "encrypt-no", "nothing"],
)
def test_what_the_header_asks_of_tls(fields: bytes, wish: TlsWish) -> None:
    head = b"From: a@b.example\r\n" + fields + b"\r\nTLS-Required: No\r\n"
    assert summarise(head).tls_wish is wish
