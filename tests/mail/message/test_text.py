from base64 import b64encode

import pytest

from postern.mail.message.text import clean_text, decode_text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" Offer 2026-118", "Offer 2026-118"),
        (b" Offer\r\n 2026-118", "Offer 2026-118"),
        (b" =?utf-8?q?B=C3=BCcher_kaufen?=", "Bücher kaufen"),
        (b" =?UTF-8*en?B?5oql5Lu35Y2V?=", "报价单"),
        (b" =?utf-8?b?5oql5Lu3?= =?utf-8?b?5Y2V?=", "报价单"),
        (b" Re: =?utf-8?b?5oql5Lu3?= and more", "Re: 报价 and more"),
        (b" =?gb2312?b?" + b64encode("镕基".encode("gb18030")) + b"?=", "镕基"),
        (b" =?gbk?b?" + b64encode("报价".encode("gbk")) + b"?=", "报价"),
        (b" =?x-unknown?q?caf=C3=A9?=", "café"),
        (b" =?rot13?q?uryyb?=", "uryyb"),
        (b" =?idna?q?x?=", "x"),
        (b" =?utf-8?b?!!!!?=", ""),
        (b" =?utf-8?q?broken", "=?utf-8?q?broken"),
        ("报价单".encode(), "报价单"),
        ("报价单".encode("gb18030"), "报价单"),
        (b"\xff\xfe", "ÿþ"),
    ],
)
def test_header_values_read_as_people_wrote_them(raw: bytes, text: str) -> None:
    assert decode_text(raw) == text


def test_a_character_split_between_encoded_words_is_whole_again() -> None:
    octets = "报价".encode()
    words = [b64encode(octets[:2]).decode(), b64encode(octets[2:]).decode()]
    raw = f" =?utf-8?b?{words[0]}?=\r\n =?UTF-8?b?{words[1]}?="
    assert decode_text(raw.encode()) == "报价"


def test_a_line_break_hidden_in_an_encoded_word_cannot_break_out() -> None:
    assert decode_text(b"=?utf-8?q?hi=0d=0aBcc:=20x@y?=") == "hi Bcc: x@y"


def test_escapes_and_reordering_marks_become_blanks() -> None:
    assert clean_text("a\x1b[31mb\u202ec\u2028d\0e\x85f") == "a [31mb c d e f"


def test_surrogates_cannot_reach_an_encoder() -> None:
    clean_text("\ud800x").encode()


def test_text_is_cut_to_its_bound() -> None:
    assert len(decode_text(b"x" * 100_000)) == 998
    assert decode_text(b"=?utf-8?q?" + b"y" * 50 + b"?=", 10) == "y" * 10
