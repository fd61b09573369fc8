"""Fields written for and read as by authres, which follows RFC 7601."""

import re

import authres  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mail.authres.test_parse import EXAMPLES

from postern.mail.authres.build import field
from postern.mail.authres.parse import parse_results
from postern.mail.authres.results import AuthenticationResults, MethodResult, Property


# B.7 is left out: authres 1.2.0 refuses it, for it takes no blank behind a comment that itself
# stands behind a blank. RFC 5322 §3.2.2 does: CFWS = (1*([FWS] comment) [FWS]) / FWS.
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "B.7"])
def test_rfc_8601_examples_read_as_by_authres(name: str) -> None:
    text, expected = EXAMPLES[name]
    theirs = authres.AuthenticationResultsHeader.parse_value(text)
    assert theirs.authserv_id == expected.authserv_id
    results = [result for result in theirs.results if result.method != "none"]
    assert [(r.method, r.result, r.reason or "") for r in results] == [
        (r.method, r.result, r.reason) for r in expected.results
    ]
    assert [[(p.type, p.name, p.value) for p in r.properties] for r in results] == [
        [(p.type, p.name, p.value) for p in r.properties] for r in expected.results
    ]


PLAIN = st.text("abcXYZ 0129.;=/-_", min_size=1, max_size=60).filter(lambda text: text.strip())


@given(PLAIN, PLAIN, PLAIN)
def test_authres_reads_what_is_written(value: str, reason: str, comment: str) -> None:
    """Except comments, which authres 1.2.0 forgets, and escapes, which it leaves in."""
    properties = (Property("smtp", "mailfrom", value),)
    result = MethodResult("spf", "pass", properties, reason, comment)
    results = AuthenticationResults("mx.host.example", (result,))
    theirs = authres.AuthenticationResultsHeader.parse(field(results).decode().rstrip("\r\n"))
    assert theirs.authserv_id == "mx.host.example"
    assert theirs.results[0].method == "spf"
    assert theirs.results[0].smtp_mailfrom == value
    assert theirs.results[0].reason == reason


KEYWORD = st.sampled_from(["spf", "dkim", "dmarc", "auth", "iprev", "x-foo"])
WORD = st.text("abcXYZ0189.-", min_size=1, max_size=20)
GAP = st.sampled_from([" ", "  ", "\r\n\t", " (a comment)", " (nested (comment; a=b) \\))"])
SPACE = st.sampled_from(["", " ", " (x)", "\r\n ", "(x)"])
QUOTED = WORD.map(lambda word: f'"{word} \\" ; {word}"')
ADDRESS = WORD.map(lambda word: f"a.b@{word.strip('.-').replace('..', '') or 'x'}.example")
PROPERTY = st.sampled_from(["header.d", "smtp.mailfrom", "policy.x", "header . i"])


@st.composite
def fields(draw: st.DrawFn) -> str:
    """A field within the grammar of RFC 8601 §2.2, with comments where it allows them.

    And within what authres 1.2.0 can read: no blank behind a comment, and a quoted string only as
    the last property's value, though the RFC lets another one follow.
    """
    text = draw(SPACE) + "mx.host.example" + draw(st.sampled_from(["", " 1", "(v)1"]))
    for _ in range(draw(st.integers(1, 4))):
        text += f"{draw(SPACE)};{draw(SPACE)}{draw(KEYWORD)}{draw(SPACE)}={draw(SPACE)}pass"
        if draw(st.booleans()):
            text += f"{draw(GAP)}reason{draw(SPACE)}={draw(SPACE)}{draw(st.one_of(WORD, QUOTED))}"
        left = draw(st.integers(0, 3))
        for last in range(left - 1, -1, -1):
            value = draw(st.one_of(WORD, ADDRESS) if last else st.one_of(WORD, ADDRESS, QUOTED))
            text += f"{draw(GAP)}{draw(PROPERTY)}{draw(SPACE)}={draw(SPACE)}{value}"
    return text


def without_escapes(text: str) -> str:
    """authres leaves quoted-pairs as they are; RFC 5322 §3.2.4: the backslash is invisible."""
    return re.sub(r"\\(.)", r"\1", text)


@given(fields())
def test_fields_read_as_by_authres(text: str) -> None:
    theirs = authres.AuthenticationResultsHeader.parse_value(text)
    parsed = parse_results(text.encode())
    assert parsed is not None
    assert parsed.authserv_id == theirs.authserv_id
    assert [(r.method, r.result, without_escapes(r.reason or "")) for r in theirs.results] == [
        (r.method, r.result, r.reason) for r in parsed.results
    ]
    assert [
        [(p.type, p.name, without_escapes(p.value)) for p in r.properties] for r in theirs.results
    ] == [[(p.type, p.name, p.value) for p in r.properties] for r in parsed.results]
