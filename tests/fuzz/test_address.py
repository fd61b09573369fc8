"""Invariant: whatever bytes stand where an address should, the grammar raises nothing, lets through
no control character, and what it understood it writes so that it understands the same again."""

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postern.mail.address import CONTROLS, Address, parse_address
from postern.mail.smtp.command import parse_mail, parse_rcpt
from postern.mail.smtp.path import ParsedPath, parse_forward_path, parse_reverse_path
from postern.mail.smtp.settings import ServerSettings
from postern.mail.smtp.xtext import decode_unitext, decode_xtext, encode_xtext

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
TOKENS = st.sampled_from(
    [
        *("<", ">", "@", '"', "\\", ".", "..", ",", ":", " ", "[", "]", "-", "=", "+", ";", "%"),
        *("a", "user", "example", "postmaster", "[192.0.2.1]", "[IPv6:::1]", "IPv6:", "x" * 63),
        *("münchen", "例え", "xn--", "ß", "。", "\u0301", "\x00", "\r\n", "\t", "\u2028", "é"),
        *(" SIZE=1", " SMTPUTF8", " NOTIFY=NEVER", " ORCPT=rfc822;a+40b", " ORCPT=utf-8;\\x{E9}"),
        *("<a@b.example>", '<"a b"@b.example>', "<@x.example:a@b.example>", "FROM:", "TO:"),
    ]
)
RAW = st.one_of(
    st.binary(max_size=300),
    st.lists(TOKENS, max_size=14).map(lambda tokens: "".join(tokens).encode()),
    st.lists(TOKENS, max_size=9).map(lambda tokens: f"<{''.join(tokens)}>".encode()),
    st.emails().map(lambda address: f"<{address}>".encode()),
)


def run_for(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def assert_sound(address: Address) -> None:
    """What holds for every address the grammar ever lets in."""
    written = str(address)
    assert not CONTROLS.search(written)
    assert len(written.encode()) + 2 <= 256
    assert len(address.local.encode()) <= 64
    assert address.domain.isascii()
    if address.domain:
        assert parse_address(written) == address
        again = parse_reverse_path(f"<{written}>".encode(), smtputf8=address.needs_smtputf8)
        assert again == ParsedPath(address, b"", not written.isascii())
    key = address.key
    assert key == key.lower()


def test_paths_never_raise_and_always_come_back(fuzz_seconds: float) -> None:
    @BATCH
    @given(RAW, st.booleans())
    def check(raw: bytes, smtputf8: bool) -> None:  # noqa: FBT001 - drawn
        for parse in (parse_reverse_path, parse_forward_path):
            path = parse(raw, smtputf8=smtputf8)
            if isinstance(path, ParsedPath) and path.address is not None:
                assert_sound(path.address)
                assert smtputf8 or not path.international

    run_for(fuzz_seconds / 2, check)


def test_commands_never_raise(fuzz_seconds: float) -> None:
    speaks = ServerSettings("mx.postern.test")

    @BATCH
    @given(RAW)
    def check(raw: bytes) -> None:
        parse_mail(b"FROM:" + raw, speaks, tls=True)
        parse_rcpt(b"TO:" + raw, smtputf8=True)

    run_for(fuzz_seconds / 4, check)


def test_text_from_people_never_raises_and_always_comes_back(fuzz_seconds: float) -> None:
    @BATCH
    @given(st.one_of(st.text(max_size=100), st.lists(TOKENS, max_size=9).map("".join)))
    def check(text: str) -> None:
        address = parse_address(text)
        if address is not None:
            assert_sound(address)

    run_for(fuzz_seconds / 4, check)


def test_xtext_always_comes_back_and_never_hides_a_control(fuzz_seconds: float) -> None:
    @BATCH
    @given(st.text(max_size=80))
    def check(text: str) -> None:
        if not any(0xD800 <= ord(char) <= 0xDFFF for char in text):
            expected = None if CONTROLS.search(text) else text
            assert decode_xtext(encode_xtext(text)) == expected
        for decode in (decode_xtext, decode_unitext):
            plain = decode(text)
            assert plain is None or not CONTROLS.search(plain)

    run_for(fuzz_seconds / 4, check)
