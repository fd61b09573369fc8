import pytest

from postern.mail.spf.record import (
    MAX_RECORD_CHARS,
    Directive,
    Kind,
    Record,
    RecordFlaw,
    is_spf_record,
    parse_record,
)
from postern.mail.spf.result import SpfCode


def read(terms: str) -> Record:
    record = parse_record(f"v=spf1 {terms}")
    assert isinstance(record, Record), record
    return record


def only(term: str) -> Directive:
    (directive,) = read(term).directives
    return directive


@pytest.mark.parametrize("text", ["v=spf1", "v=spf1 ", "V=SPF1 -all", "v=spf1  a"])
def test_records_that_are_selected(text: str) -> None:
    assert is_spf_record(text)


@pytest.mark.parametrize(
    "text", ["", "v=spf10", "v=spf1a", "v=spf2.0/pra", "v=spf1\t-all", " v=spf1", "v=spf1.", "spf1"]
)
def test_records_that_are_none_of_our_business(text: str) -> None:
    assert not is_spf_record(text)


def test_a_record_is_read_term_by_term() -> None:
    record = read("+a  mX/24//64 ?include:_spf.tea.example ~ptr -ALL exp=why.%{d} x.y-_z=%{c}/:= ")
    kinds = [directive.kind for directive in record.directives]
    assert kinds == [Kind.A, Kind.MX, Kind.INCLUDE, Kind.PTR, Kind.ALL]
    results = [directive.result.value for directive in record.directives]
    assert results == ["pass", "pass", "neutral", "softfail", "fail"]
    assert [directive.text for directive in record.directives][-2:] == ["~ptr", "-ALL"]
    assert record.explanation is not None
    assert record.redirect is None


@pytest.mark.parametrize(
    ("term", "prefix4", "prefix6", "has_target"),
    [
        ("a", 32, 128, False),
        ("a/0", 0, 128, False),
        ("a//0", 32, 0, False),
        ("mx/8//48", 8, 48, False),
        ("a:tea.example/24", 24, 128, True),
        ("mx:tea.example//64", 32, 64, True),
        ("mx:a/b.tea.example/32//128", 32, 128, True),
        ("a:%{d/}/1", 1, 128, True),
    ],
)
def test_lengths_of_a_and_mx(term: str, prefix4: int, prefix6: int, *, has_target: bool) -> None:
    directive = only(term)
    assert (directive.prefix4, directive.prefix6) == (prefix4, prefix6)
    assert (directive.target is not None) is has_target


def test_addresses_are_kept_as_numbers() -> None:
    assert only("ip4:192.0.2.0/24") == Directive(
        "ip4:192.0.2.0/24", Kind.IP4, SpfCode.PASS, network=0xC0000200, prefix4=24
    )
    assert only("-IP6:2001:DB8::").network == 0x20010DB8 << 96
    assert only("ip6:::ffff:192.0.2.1/96").prefix6 == 96


@pytest.mark.parametrize(
    ("term", "problem"),
    [
        ("moo", "there is no such mechanism"),
        ("-", "there is no such mechanism"),
        ("+-all", "there is no such mechanism"),
        ("all.", "there is no such mechanism"),
        ("ip:192.0.2.1", "there is no such mechanism"),
        ("redirect:tea.example", "there is no such mechanism"),
        ("=a", "there is no such mechanism"),
        ("1up=foo", "there is no such mechanism"),
        ("-all:x", "nothing may follow all"),
        ("all/8", "nothing may follow all"),
        ("include", "it needs a domain"),
        ("exists", "it needs a domain"),
        ("include:", "the domain in it is not well formed"),
        ("exists:tea.example/24", "the domain in it is not well formed"),
        ("ptr/0", "the domain in it is not well formed"),
        ("ptr:", "the domain in it is not well formed"),
        ("a:com", "the domain in it is not well formed"),
        ("a:%{x}.test", "the domain in it is not well formed"),
        ("exp=", "the domain in it is not well formed"),
        ("redirect=-all", "the domain in it is not well formed"),
        ("a:192.0.2.1", "an address is published with ip4"),
        ("mx:192.0.2.999/24", "an address is published with ip4"),
        ("a/33", "the length after / is over 32, or that after // over 128"),
        ("mx//129", "the length after / is over 32, or that after // over 128"),
        ("a/024", "the length after / is not well formed"),
        ("a/24/64", "the length after / is not well formed"),
        ("ip4", "it needs an IPv4 address, which may end in /0 to /32"),
        ("ip4:1.2.3", "it needs an IPv4 address, which may end in /0 to /32"),
        ("ip4:192.0.2.1//32", "it needs an IPv4 address, which may end in /0 to /32"),
        ("ip4:192.0.2.01", "the IPv4 address in it is not well formed"),
        ("ip4:192.0.2.256", "the IPv4 address in it is not well formed"),
        ("ip4:192.0.2.1/33", "the length after / is over 32"),
        ("ip6:fe80::1%eth0", "it needs an IPv6 address, which may end in /0 to /128"),
        ("ip6:2001:db8:::", "the IPv6 address in it is not well formed"),
        ("ip6:192.0.2.1", "the IPv6 address in it is not well formed"),
        ("ip6:::1/129", "the length after / is over 128"),
        ("moo=%a", "its value is not well formed"),
    ],
)
def test_flaws_are_named_with_their_term(term: str, problem: str) -> None:
    assert parse_record(f"v=spf1 +all {term} -all") == RecordFlaw(term, problem)


@pytest.mark.parametrize("name", ["redirect", "exp", "EXP"])
def test_known_modifiers_stand_once(name: str) -> None:
    flaw = parse_record(f"v=spf1 {name}=a.test {name.lower()}=b.test")
    assert flaw == RecordFlaw(
        f"{name.lower()}=b.test", f"{name.lower()} stands in the record twice"
    )
    assert isinstance(parse_record("v=spf1 x=1 x=1"), Record)


def test_terms_in_evidence_are_short_and_safe() -> None:
    flaw = parse_record("v=spf1 a:\x1b[31m\x07\r" + "x" * 500)
    assert isinstance(flaw, RecordFlaw)
    assert len(flaw.term) == 199  # two controls are one space
    assert flaw.term.isprintable()
    assert len(only(f"a:{'x.' * 200}test").text) == 200


def test_a_record_without_end_is_not_read() -> None:
    terms = " a" * (MAX_RECORD_CHARS // 2)
    assert isinstance(parse_record(f"v=spf1{terms[:-6]}"), Record)
    flaw = parse_record(f"v=spf1{terms}")
    assert flaw == RecordFlaw("", "the record is longer than 8192 octets")


def test_a_record_is_read_once() -> None:
    text = "v=spf1 ip4:192.0.2.77 -all"
    assert parse_record(text) is parse_record(text)
