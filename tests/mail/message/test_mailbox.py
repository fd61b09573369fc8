import pytest

from postern.mail.address import Address
from postern.mail.message.header import HeaderScan
from postern.mail.message.mailbox import MAX_MAILBOXES, parse_mailboxes, visible_from

WANG = Address("wang", "harbour.example")


@pytest.mark.parametrize(
    "value",
    [
        b" wang@harbour.example",
        b" <wang@Harbour.Example>",
        b" Wang Li <wang@harbour.example>",
        b' "Li, Wang" <wang@harbour.example>',
        b' "a\\"b" <wang@harbour.example>',
        b" =?gb2312?b?zfU=?= <wang@harbour.example>",
        b" \xcd\xf5 <wang@harbour.example>",
        b" wang@harbour.example (Wang (of) Harbour)",
        b" (x) Wang\r\n\t<wang@harbour.example>\r\n (y)",
        b" other@a.example <wang@harbour.example>",
        b" Team: wang@harbour.example, li@harbour.example;",
        b" wang@harbour.example, Li <li@harbour.example>",
    ],
)
def test_the_first_mailbox_is_read(value: bytes) -> None:
    assert visible_from(HeaderScan(b"From:" + value + b"\r\n\r\n")) == WANG


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b" wang",
        b" alice@example.org)bob@evil.example",
        b" (alice@example.org",
        b" <alice@example.org",
        b" alice@example.org>",
        b" alice@example.org bob@evil.example",
        b" alice@example.org <bob@evil.example> <carol@evil.example>",
        b" <@relay.example:alice@example.org>",
        b" alice @example.org",
        b" alice@example.org,",
        b" ,alice@example.org",
        b" alice@example.org, broken",
        b' "alice@example.org',
        b" Team: alice@example.org",
        b" alice@example.org\r\nBcc: x",
        b" alice\0@example.org",
        b" alice@exa mple.org",
        b" alice@-example.org",
        b" \xcd\xf5@example.org",
    ],
)
def test_what_is_off_the_grammar_has_no_address(value: bytes) -> None:
    assert parse_mailboxes(value) is None


def test_an_empty_group_has_no_mailboxes() -> None:
    assert parse_mailboxes(b" undisclosed-recipients:;") == ()
    assert visible_from(HeaderScan(b"From: x:;\r\n\r\n")) is None


def test_international_domains_come_back_as_a_labels() -> None:
    assert parse_mailboxes("Ü <ü@bücher.example>".encode()) == (
        Address("ü", "xn--bcher-kva.example"),
    )


def test_lists_are_bounded() -> None:
    assert parse_mailboxes(b",".join([b"a@b.example"] * MAX_MAILBOXES)) is not None
    assert parse_mailboxes(b",".join([b"a@b.example"] * (MAX_MAILBOXES + 1))) is None


def test_a_message_without_from_has_none() -> None:
    assert visible_from(HeaderScan(b"To: a@b.example\r\n\r\n")) is None
