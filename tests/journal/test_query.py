"""What people type, and what they mean by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.journal.query import Kind, parse_bounce, parse_query
from postern.mail.tracecode import TraceCodes

CODES = TraceCodes(b"k" * 32)

BOUNCE = """\
Return-Path: <>
From: MAILER-DAEMON@mail.isp.example (Mail Delivery System)
To: li@tea-trading.example
Message-ID: <bounce.1@mail.isp.example>

<wang@harbour.example>: host mx.harbour.example[203.0.113.5] said: 550 5.7.25
    no reverse DNS name for 198.51.100.24 {code} (in reply to MAIL FROM)

Final-Recipient: rfc822; wang@harbour.example

Message-ID: <offer.118@tea-trading.example>
"""


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("li@tea.example", Kind.ADDRESS, "li@tea.example"),
        (" <li@tea.example> ", Kind.ADDRESS, "li@tea.example"),
        ("li@[192.0.2.1]", Kind.ADDRESS, "li@[192.0.2.1]"),
        ("tea.example", Kind.DOMAIN, "tea.example"),
        ("@Tea.Example.", Kind.DOMAIN, "tea.example"),
        ("@*.tea.example", Kind.DOMAIN, "tea.example"),
        ("茶.example", Kind.DOMAIN, "茶.example"),
        ("192.0.2.1", Kind.NETWORK, "192.0.2.1/32"),
        ("[192.0.2.1]", Kind.NETWORK, "192.0.2.1/32"),
        ("192.0.2.77/24", Kind.NETWORK, "192.0.2.0/24"),
        ("2001:db8::1", Kind.NETWORK, "2001:db8::1/128"),
        ("<no-at-sign>", Kind.MESSAGE_ID, "no-at-sign"),
        ("id:<a@b>", Kind.MESSAGE_ID, "a@b"),
        ("helo:SRV-2003", Kind.HELO, "srv-2003"),
        ("srv-2003", Kind.NAME, "srv-2003"),
        ("mail-host", Kind.NAME, "mail-host"),
        ("domain:localdomain", Kind.DOMAIN, "localdomain"),
    ],
)
def test_one_word_is_understood(text: str, kind: Kind, meant: str) -> None:
    (clue,) = parse_query(text).clues
    assert (clue.kind, clue.text) == (kind, meant)


def test_several_words_are_of_the_subject() -> None:
    for text in ("Offer, for tea", "subject: offer FOR tea"):
        assert [(c.kind, c.text) for c in parse_query(text).clues] == [
            (Kind.WORD, "offer"), (Kind.WORD, "for"), (Kind.WORD, "tea"),
        ]  # fmt: skip
    assert [c.text for c in parse_query("报价单").clues] == ["报价", "价单"]


@pytest.mark.parametrize("shape", ["{}", "{lower}", "{bare}", "{short}"])
def test_trace_code_is_read_in_any_shape(shape: str) -> None:
    code = CODES.encode(123_456)
    text = shape.format(code, lower=code.lower(), bare=code.replace("-", ""), short=code[3:])
    (clue,) = parse_query(text, CODES).clues
    assert (clue.kind, clue.number, clue.text) == (Kind.TRACE, 123_456, code)


def test_nothing_asked_has_no_clue() -> None:
    assert parse_query("   ").clues == ()


def test_recipient_is_a_clue_of_its_own() -> None:
    query = parse_query("tea.example").to("<wang@harbour.example>")
    assert query.clues[1].kind is Kind.RECIPIENT
    assert parse_query("tea.example").to("@Harbour.example").clues[1].text == "harbour.example"


def test_pasted_bounce_names_code_then_message_then_people() -> None:
    code = CODES.encode(7)
    queries = parse_bounce(BOUNCE.replace("{code}", code), CODES)
    kinds = [[clue.kind for clue in query.clues] for query in queries]
    assert queries[0].clues[0].number == 7
    assert kinds[:3] == [[Kind.TRACE], [Kind.MESSAGE_ID], [Kind.MESSAGE_ID]]
    pair = next(query for query in queries if len(query.clues) == 2)
    assert {clue.text for clue in pair.clues} == {"li@tea-trading.example", "wang@harbour.example"}
    assert "MAILER-DAEMON@mail.isp.example" not in {c.text for q in queries for c in q.clues}
    assert [query.text for query in queries[-2:]] == ["203.0.113.5", "198.51.100.24"]


def test_pasted_text_without_anything_asks_nothing() -> None:
    assert parse_bounce("it did not work, please help") == ()


@given(st.text(max_size=1200))
def test_anything_may_be_asked(text: str) -> None:
    query = parse_query(text, CODES)
    assert len(query.clues) <= 1000
    query.to(text)


@given(st.text(alphabet="<>@.: \nPT-0123456789abcdefMessage-ID", max_size=3000))
def test_anything_may_be_pasted(text: str) -> None:
    for query in parse_bounce(text, CODES):
        assert query.clues
