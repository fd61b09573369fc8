import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.making import facts

from postern.policy.rules.match import Fit, Match, MatchFlaw, MatchKind, fit, parse_match


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Li@Tea.example", MatchKind.ADDRESS, "li@tea.example"),
        ("@Tea.example", MatchKind.DOMAIN, "tea.example"),
        ("@*.tea.example", MatchKind.BELOW, "tea.example"),
        ("@bücher.example", MatchKind.DOMAIN, "xn--bcher-kva.example"),
        ("198.51.100.24", MatchKind.NETWORK, "198.51.100.24/32"),
        ("198.51.100.77/24", MatchKind.NETWORK, "198.51.100.0/24"),
        ("2001:db8::/32", MatchKind.NETWORK, "2001:db8::/32"),
        ("helo:Mail.Tea.Example.", MatchKind.HELO, "mail.tea.example"),
        ("ptr:mail.tea.example", MatchKind.PTR, "mail.tea.example"),
        ('"a b"@tea.example', MatchKind.ADDRESS, "a b@tea.example"),
        ('"helo:x"@tea.example', MatchKind.ADDRESS, "helo:x@tea.example"),
        ("helo:[198.51.100.24]", MatchKind.HELO, "[198.51.100.24]"),
        ("list:<offers.tea.example>", MatchKind.LIST_ID, "offers.tea.example"),
        ("known", MatchKind.KNOWN, ""),
        (" ALL ", MatchKind.ALL, ""),
    ],
)
def test_what_people_write_has_one_spelling_and_reads_back(
    text: str, kind: MatchKind, value: str
) -> None:
    match = parse_match(text)
    assert match == Match(kind, value)
    assert parse_match(str(match)) == match


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@*.",
        "@a b",
        "li@",
        "198.51.100.300",
        "10/99",
        "helo:",
        "helo:a b",
        "helo:..",
        "ptr:.",
        "list:a>.",
        "helo:a\r\nb",
        "tea.example",
        "postmaster",
        '"postmaster"',
    ],
)
def test_what_names_no_mail_is_told_and_nothing_is_guessed(text: str) -> None:
    flaw = parse_match(text)
    assert isinstance(flaw, MatchFlaw)
    assert flaw.text
    assert not flaw.text.endswith(".")


@given(st.text(st.sampled_from('ab@.*"<>[]:/1 \\é')) | st.text())
def test_whatever_can_be_read_reads_back_the_same(text: str) -> None:
    for words in (text, f"helo:{text}", f"@*.{text}", f"{text}@tea.example"):
        match = parse_match(words)
        if isinstance(match, Match):
            assert parse_match(str(match)) == match


def fits(words: str, *, needs_proof: bool = False, **known: object) -> Fit:
    match = parse_match(words)
    assert isinstance(match, Match)
    return fit(match, facts(**known), needs_proof=needs_proof)  # type: ignore[arg-type]  # a test's words


def test_sender_fits_by_envelope_or_by_header() -> None:
    assert fits("li@tea.example") is Fit.YES
    assert fits("@tea.example", author="") is Fit.YES
    assert fits("@shop.example", author="ann@shop.example") is Fit.YES
    assert fits("@shop.example", author="ann@tea.example") is Fit.NO


def test_another_author_may_yet_come_with_the_header() -> None:
    assert fits("@shop.example") is Fit.NOT_YET
    assert fits("list:offers.tea.example") is Fit.NOT_YET
    assert fits("list:offers.tea.example", author="", list_id="offers.tea.example") is Fit.YES


def test_domain_alone_does_not_mean_what_is_below_it() -> None:
    assert fits("@tea.example", sender="li@shop.tea.example", author="") is Fit.NO
    assert fits("@*.tea.example", sender="li@shop.tea.example") is Fit.YES
    assert fits("@*.tea.example", sender="li@tea.example") is Fit.YES
    assert fits("@*.tea.example", sender="li@greentea.example", author="") is Fit.NO


def test_what_is_only_said_does_not_fit_where_proof_is_needed() -> None:
    assert fits("@tea.example", needs_proof=True, author="") is Fit.NO
    assert fits("@tea.example", needs_proof=True) is Fit.NOT_YET
    assert fits("@tea.example", needs_proof=True, proven="tea.example") is Fit.YES


def test_a_name_speaks_for_those_below_it_and_not_for_those_above() -> None:
    below = {"sender": "li@shop.tea.example", "author": "", "needs_proof": True}
    assert fits("@*.tea.example", proven="tea.example", **below) is Fit.YES  # type: ignore[arg-type]  # as above
    above = {"sender": "li@tea.example", "author": "", "needs_proof": True}
    assert fits("@tea.example", proven="shop.tea.example", **above) is Fit.NO  # type: ignore[arg-type]  # as above


def test_proof_of_the_envelope_is_no_proof_of_another_author() -> None:
    assert (
        fits(
            "@bank.example",
            needs_proof=True,
            sender="a@evil.example",
            author="ann@bank.example",
            proven="evil.example",
        )
        is Fit.NO
    )


def test_client_fits_by_address_network_helo_and_reverse_name() -> None:
    assert fits("198.51.100.0/24") is Fit.YES
    assert fits("198.51.101.0/24") is Fit.NO
    assert fits("2001:db8::/32", ip="2001:db8::7") is Fit.YES
    assert fits("::/0") is Fit.NO
    assert fits("helo:mail.tea.example") is Fit.YES
    assert fits("ptr:mail.tea.example") is Fit.NO
    assert fits("ptr:mail.tea.example", ptr="mail.tea.example") is Fit.YES


def test_list_and_server_name_that_are_only_said_do_not_fit_where_proof_is_needed() -> None:
    listed = {"author": "", "list_id": "offers.tea.example", "needs_proof": True}
    assert fits("list:offers.tea.example", **listed) is Fit.NO  # type: ignore[arg-type]  # as above
    assert fits("list:offers.tea.example", proven="tea.example", **listed) is Fit.YES  # type: ignore[arg-type]  # as above
    assert fits("helo:mail.tea.example", needs_proof=True) is Fit.NO
    assert fits("helo:mail.tea.example", needs_proof=True, ptr="mail.tea.example") is Fit.YES
    assert fits("helo:mail.tea.example", needs_proof=True, proven="mail.tea.example") is Fit.YES


def test_null_sender_fits_what_is_about_all_and_no_name() -> None:
    assert fits("all", sender="") is Fit.YES
    assert fits("@tea.example", sender="", author="") is Fit.NO
    assert fits("known", sender="", known=True) is Fit.YES
