import time

import pytest

from postern.mail.authres.build import payload
from postern.mail.authres.parse import MAX_PROPERTIES, MAX_RESULTS, parse_results
from postern.mail.authres.results import AuthenticationResults, MethodResult, Property


def folded(text: str) -> bytes:
    """An example as it stands in a message: CR LF and the RFC's own indentation."""
    return text.replace("\n", "\r\n").encode()


def mailfrom(domain: str) -> Property:
    return Property("smtp", "mailfrom", domain)


# RFC 8601 Appendix B.2 to B.7; B.1 has no field.
EXAMPLES = {
    "B.2": (" example.org 1; none", AuthenticationResults("example.org")),
    "B.3": (
        " example.com;\n          spf=pass smtp.mailfrom=example.net",
        AuthenticationResults(
            "example.com", (MethodResult("spf", "pass", (mailfrom("example.net"),)),)
        ),
    ),
    "B.4, first": (
        " example.com;\n"
        "          auth=pass (cram-md5) smtp.auth=sender@example.net;\n"
        "          spf=pass smtp.mailfrom=example.net",
        AuthenticationResults(
            "example.com",
            (
                MethodResult(
                    "auth",
                    "pass",
                    (Property("smtp", "auth", "sender@example.net"),),
                    comment="cram-md5",
                ),
                MethodResult("spf", "pass", (mailfrom("example.net"),)),
            ),
        ),
    ),
    "B.4, second": (
        " example.com; iprev=pass\n          policy.iprev=192.0.2.200",
        AuthenticationResults(
            "example.com",
            (MethodResult("iprev", "pass", (Property("policy", "iprev", "192.0.2.200"),)),),
        ),
    ),
    "B.5, first": (
        " example.com;\n          dkim=pass (good signature) header.d=example.com",
        AuthenticationResults(
            "example.com",
            (
                MethodResult(
                    "dkim",
                    "pass",
                    (Property("header", "d", "example.com"),),
                    comment="good signature",
                ),
            ),
        ),
    ),
    "B.5, second": (
        " example.com;\n"
        "          auth=pass (cram-md5) smtp.auth=sender@example.com;\n"
        "          spf=fail smtp.mailfrom=example.com",
        AuthenticationResults(
            "example.com",
            (
                MethodResult(
                    "auth",
                    "pass",
                    (Property("smtp", "auth", "sender@example.com"),),
                    comment="cram-md5",
                ),
                MethodResult("spf", "fail", (mailfrom("example.com"),)),
            ),
        ),
    ),
    "B.6, first": (
        " example.com;\n"
        '      dkim=pass reason="good signature"\n'
        "        header.i=@mail-router.example.net;\n"
        '      dkim=fail reason="bad signature"\n'
        "        header.i=@newyork.example.com",
        AuthenticationResults(
            "example.com",
            (
                MethodResult(
                    "dkim",
                    "pass",
                    (Property("header", "i", "@mail-router.example.net"),),
                    "good signature",
                ),
                MethodResult(
                    "dkim",
                    "fail",
                    (Property("header", "i", "@newyork.example.com"),),
                    "bad signature",
                ),
            ),
        ),
    ),
    "B.6, second": (
        " example.net;\n      dkim=pass (good signature) header.i=@newyork.example.com",
        AuthenticationResults(
            "example.net",
            (
                MethodResult(
                    "dkim",
                    "pass",
                    (Property("header", "i", "@newyork.example.com"),),
                    comment="good signature",
                ),
            ),
        ),
    ),
    "B.7": (
        " foo.example.net (foobar) 1 (baz);\n"
        "    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\n"
        "      policy (A dot can go here) . (like that) expired\n"
        "      (this surprised me) = (as I wasn't expecting it) 1362471462",
        AuthenticationResults(
            "foo.example.net",
            (MethodResult("dkim", "fail", (Property("policy", "expired", "1362471462"),)),),
        ),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_rfc_8601_examples_are_read_and_come_back(name: str) -> None:
    text, expected = EXAMPLES[name]
    parsed = parse_results(folded(text))
    assert parsed == expected
    assert parse_results(payload(expected)) == expected


def results(text: str) -> tuple[MethodResult, ...]:
    parsed = parse_results(text.encode())
    assert parsed is not None
    return parsed.results


# RFC 8601 §2.7.4 and §2.7.6.
def test_examples_in_the_text() -> None:
    assert results(
        "c.example; auth=pass smtp.auth=client@c.example smtp.mailfrom=bob@b.example"
    ) == (
        MethodResult(
            "auth",
            "pass",
            (Property("smtp", "auth", "client@c.example"), mailfrom("bob@b.example")),
        ),
    )
    assert results("example.com;\r\n foo=pass bar.baz=blob (2 of 3 tests OK)") == (
        MethodResult("foo", "pass", (Property("bar", "baz", "blob"),)),
    )


def test_words_are_lower_case_and_values_are_kept() -> None:
    (result,) = results("h.example; DKIM=PASS Header.D=Tea.Example REASON=Because")
    assert result == MethodResult(
        "dkim", "pass", (Property("header", "d", "Tea.Example"),), "Because"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("header.b=ab/c+d==", "ab/c+d=="),  # unquoted, as large providers write it
        ("smtp.remote-ip=2001:db8::1", "2001:db8::1"),
        ('header.d="a b"', "a b"),
        (r'header.d="a\"b\\c"', 'a"b\\c'),
        ('smtp.mailfrom="a b"@tea.example', '"a b"@tea.example'),
        ("header.i = @tea.example", "@tea.example"),
        ("smtp.mailfrom=<a@tea.example>", "<a@tea.example>"),
        ("smtp.helo=tea.example(really)", "tea.example"),
        ('smtp.helo=""', ""),
        ("smtp.helo=b\u00fccher.example", "b\u00fccher.example"),
        ("header.x_y=1", "1"),
    ],
)  # fmt: skip
def test_values(text: str, value: str) -> None:
    (result,) = results(f"h.example; m=pass {text}")
    assert [found.value for found in result.properties] == [value]


def test_what_is_off_the_grammar_costs_only_its_place() -> None:
    found = results(
        "h.example; spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=a.example; ; =; junk junk;"
        " dkim=pass header.d=b.example;dmarc=pass action=none header.from=c.example;"
        "compauth=pass reason=100; x/y=pass; arc=; m/2=fail); last=pass;"
    )
    assert [(r.method, r.result) for r in found] == [
        ("spf", "pass"),
        ("dkim", "pass"),
        ("dmarc", "pass"),
        ("compauth", "pass"),
        ("m", "fail"),
        ("last", "pass"),
    ]
    assert found[0].comment == "sender IP is 192.0.2.1"
    assert found[2].value("header", "from") == "c.example"
    assert found[3].reason == "100"
    assert found[4].version == 2


def test_semicolons_in_quotes_and_comments_end_nothing() -> None:
    (result,) = results('h.example; spf=fail (a; dkim=pass; \\) (b)) reason="; dmarc=pass"')
    assert result == MethodResult("spf", "fail", (), "; dmarc=pass", "a; dkim=pass; ) (b)")


def test_of_an_unknown_version_only_the_head_is_read() -> None:
    assert parse_results(b"h.example 2; spf=pass") == AuthenticationResults("h.example", (), 2)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"; spf=pass",
        b"spf=pass smtp.mailfrom=a.example; dkim=pass",  # some write no authserv-id
        b"a b; spf=pass",
        b"h.example 1 2; spf=pass",
        b"h.example/1; spf=pass",
        b"(h.example; spf=pass",
        b"h.example; spf=pass (no end",
        b'h.example; spf=pass reason="no end',
        b'"h.example; spf=pass',
        b"h.example; spf=pass " + b"(" * 30 + b")" * 30,
        b"h.example; spf=pass reason=" + b"x" * 40_000,
    ],
)
def test_what_cannot_be_read_is_nothing(value: bytes) -> None:
    assert parse_results(value) is None


def test_bare_newlines_and_controls_are_blanks() -> None:
    (result,) = results("h.example;\r\n\tspf=pass\nsmtp.helo=a\x00b")
    assert result.value("smtp", "helo") == "a"


def test_the_number_of_results_and_properties_is_bounded() -> None:
    many = ";".join(["m=pass " + " ".join(["a.b=c"] * (MAX_PROPERTIES + 9))] * (MAX_RESULTS // 4))
    found = results(f"h.example; {many[:30_000]}")
    assert all(len(result.properties) <= MAX_PROPERTIES for result in found)
    assert len(results("h.example" + ";m=pass" * (MAX_RESULTS + 9))) == MAX_RESULTS


@pytest.mark.parametrize(
    "piece",
    ['"a\\', "(", ")", "a=b", ";", '"', "\\", "a.", "((()))", "a.b=(", '\\"', "; a=b ) c", "; a=b"],
)
def test_time_is_linear(piece: str) -> None:
    value = ("h.example; m=pass " + piece * (30_000 // len(piece))).encode()
    start = time.process_time()
    parse_results(value)
    assert time.process_time() - start < 0.5
