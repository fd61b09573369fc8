import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.authres.build import MAX_VALUE_BYTES, field, payload
from postern.mail.authres.parse import parse_results
from postern.mail.authres.results import AuthenticationResults, MethodResult, Property


def one(value: str, *, reason: str = "", comment: str = "") -> AuthenticationResults:
    properties = (Property("smtp", "mailfrom", value),) if value else ()
    return AuthenticationResults(
        "mx.host.example", (MethodResult("spf", "pass", properties, reason, comment),)
    )


def test_a_field_ends_in_cr_lf_and_each_result_begins_a_line() -> None:
    results = AuthenticationResults(
        "mx.host.example",
        (
            MethodResult("spf", "pass", (Property("smtp", "mailfrom", "tea.example"),)),
            MethodResult("dkim", "fail", reason="bad signature", comment="key of 2048 bits"),
        ),
    )
    assert field(results) == (
        b"Authentication-Results: mx.host.example;\r\n"
        b"\tspf=pass smtp.mailfrom=tea.example;\r\n"
        b'\tdkim=fail (key of 2048 bits) reason="bad signature"\r\n'
    )


def test_nothing_done_is_said_as_none() -> None:
    assert field(AuthenticationResults("mx.host.example")) == (
        b"Authentication-Results: mx.host.example; none\r\n"
    )


def test_a_payload_may_stand_behind_an_arc_instance() -> None:
    assert b"i=1; " + payload(one("tea.example")) == (
        b"i=1; mx.host.example;\r\n\tspf=pass smtp.mailfrom=tea.example"
    )


def test_long_results_are_folded_between_words() -> None:
    properties = tuple(Property("header", f"x{i}", "a" * 20) for i in range(20))
    written = field(AuthenticationResults("mx.host.example", (MethodResult("x", "y", properties),)))
    lines = written.split(b"\r\n")
    assert all(len(line) <= 78 for line in lines)
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    parsed = parse_results(written.partition(b":")[2].removesuffix(b"\r\n"))
    assert parsed is not None
    assert parsed.results[0].properties == properties


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("tea.example", b"tea.example"),
        ("wang@tea.example", b"wang@tea.example"),
        ("@tea.example", b"@tea.example"),
        ('"a b;"@tea.example', b'"a b;"@tea.example'),
        ("a b@tea.example", b'"a b@tea.example"'),
        ("user@[192.0.2.1]", b'"user@[192.0.2.1]"'),
        ("", b'""'),
        ('a"b\\c', b'"a\\"b\\\\c"'),
        ("a;b", b'"a;b"'),
        ("evil; dmarc=pass", b'"evil; dmarc=pass"'),
        ("(", b'"("'),
        ("a@b@c.example", b'"a@b@c.example"'),
        ("a@tea.example\r\nBcc: x", b'"a@tea.example??Bcc: x"'),
        ("a\x00b", b'"a?b"'),
        ("a\u2028b\x85c", b'"a?b?c"'),
        ("b\u00fccher.example", b"xn--bcher-kva.example"),
        ("wang@b\u00fccher.example", b"wang@xn--bcher-kva.example"),
        ("w\u00e4ng@b\u00fccher.example", b"w?ng@xn--bcher-kva.example"),
        ("\u8336 \u8336", b'"? ?"'),
    ],
)  # fmt: skip
def test_values_are_quoted_where_the_grammar_needs_it(value: str, written: bytes) -> None:
    result = MethodResult("x", "pass", (Property("smtp", "helo", value),))
    text = payload(AuthenticationResults("mx.host.example", (result,)))
    assert text.endswith(b"smtp.helo=" + written)


def test_an_international_message_keeps_its_letters() -> None:
    results = one("w\u00e4ng@b\u00fc.example", reason="gr\u00fcn", comment="gr\u00fcn")
    assert (
        field(results, utf8=True)
        == (
            "Authentication-Results: mx.host.example;\r\n"
            '\tspf=pass (gr\u00fcn) reason="gr\u00fcn" smtp.mailfrom=w\u00e4ng@b\u00fc.example\r\n'
        ).encode()
    )
    assert field(results).isascii()
    assert parse_results(payload(results, utf8=True)) == results


def test_an_international_host_is_named_as_the_message_allows() -> None:
    results = AuthenticationResults("b\u00fccher.example")
    assert payload(results) == b"xn--bcher-kva.example; none"
    assert payload(results, utf8=True) == '"b\u00fccher.example"; none'.encode()


@pytest.mark.parametrize("text", ["x" * 5_000, "\u00fc" * 5_000, '"' * 5_000, "\U0001f375" * 5_000])
def test_no_line_is_longer_than_998(text: str) -> None:
    for utf8 in (False, True):
        written = field(one(text, reason=text, comment=text), utf8=utf8)
        assert all(len(line) <= 998 for line in written.split(b"\r\n"))
        written.decode("utf-8")


def test_what_comes_from_code_cannot_break_out_either() -> None:
    result = MethodResult("a\r\nb;", " (", (Property("x.y", "", "v"),))
    assert payload(AuthenticationResults("", (result,), 2)) == b'"" 2;\r\n\ta--b=x x-y.x=v'


TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_VALUE_BYTES
)


@given(TEXT, TEXT, TEXT, TEXT)
def test_any_printable_text_comes_back(
    authserv_id: str, value: str, reason: str, comment: str
) -> None:
    results = AuthenticationResults(
        authserv_id,
        (MethodResult("spf", "pass", (Property("smtp", "helo", value),), reason, comment),),
    )
    written = field(results)
    assert parse_results(written.partition(b":")[2].removesuffix(b"\r\n")) == results


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200), st.booleans())
def test_a_message_with_the_field_in_front_has_just_this_field(
    value: str,
    reason: str,
    comment: str,
    utf8: bool,  # noqa: FBT001 - drawn
) -> None:
    written = field(one(value, reason=reason, comment=comment), utf8=utf8)
    assert written.endswith(b"\r\n")
    bare = written.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    parsed = email.message_from_bytes(
        written + b"Subject: tea\r\n\r\nbody\r\n", policy=email.policy.compat32
    )
    assert parsed.keys() == ["Authentication-Results", "Subject"]
