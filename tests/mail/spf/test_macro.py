import time

import pytest

from postern.mail.spf.client import parse_client
from postern.mail.spf.macro import (
    Facts,
    MacroString,
    expand_domain,
    expand_explanation,
    is_macro_string,
    parse_domain_spec,
    parse_explanation,
)

DOMAIN = "email.example.com"


def facts(ip: str = "192.0.2.3", sender: str = "strong-bad@email.example.com") -> Facts:
    client = parse_client(ip)
    assert client is not None
    return Facts.of(client, DOMAIN, sender, "mx.example.org", "mx.postern.test", 1_780_000_000.9)


def spec(text: str) -> MacroString:
    parsed = parse_domain_spec(text)
    assert parsed is not None, text
    return parsed


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        (
            "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}",
            "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
        ),
        (
            "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}",
            "3.2.0.192.in-addr.strong.lp._spf.example.com",
        ),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ],
)
def test_expansion_examples_of_the_rfc(text: str, expanded: str) -> None:
    assert expand_domain(spec(text), facts(), DOMAIN) == expanded


def test_ipv6_example_of_the_rfc() -> None:
    """In lower case there; names have none."""
    expanded = expand_domain(spec("%{ir}.%{v}._spf.%{d2}"), facts("2001:db8::cb01"), DOMAIN)
    nibbles = "1.0.b.c." + "0." * 20 + "8.b.d.0.1.0.0.2"
    assert expanded.lower() == f"{nibbles}.ip6._spf.example.com"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%{h}", "mx.example.org"),
        ("%{p}", "seen.example"),
        ("%{D127}", "email.example.com"),
        ("%{d999999999999999999999}", "email.example.com"),
        ("%{d002}", "example.com"),
        ("%{D2R}", "example.email"),
        ("%{S}.x.test", "strong-bad%40email.example.com.x.test"),
        ("a%%b%_c%-d.%{d1}", "a%b c%20d.com"),
        ("tea.example.", "tea.example"),
        ("%%%{d1}", "%com"),
        ("!#\"$&'()*,/:;<>.test", "!#\"$&'()*,/:;<>.test"),
    ],
)
def test_more_expansions(text: str, expanded: str) -> None:
    assert expand_domain(spec(text), facts(), DOMAIN, "seen.example") == expanded


def test_all_delimiters_split() -> None:
    listed = facts(sender="a+b-c=d@tea.example")
    assert expand_domain(spec("%{l3r+-=}.test"), listed, DOMAIN) == "c.b.a.test"


def test_parts_may_be_empty() -> None:
    odd = facts(sender="-a--b-@tea.example")
    assert expand_domain(spec("%{l-}.test"), odd, DOMAIN) == ".a..b..test"
    assert expand_domain(spec("%{l1-}.test"), odd, DOMAIN) == ".test"


@pytest.mark.parametrize("sender", ["@email.example.com", "email.example.com", ""])
def test_a_sender_without_local_part_is_postmaster(sender: str) -> None:
    assert expand_domain(spec("%{s}"), facts(sender=sender), DOMAIN) == f"postmaster@{DOMAIN}"


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "com", "com.", "a.b..", "a.-b", "a.b-", "a.1", "192.0.2.1", "a.b c", "a.b\x00"),
        *("a.b%", "%", "%{", "%{}", "%{d", "%(d)", "%d", "%{d0}", "%{d00}", "%{dd}", "%{d-r}"),
        *("%{x}", "%{c}", "%{r}", "%{t}", "%{R}.test", "%{1}", "%{d!}", "%{d}.", "%{d}com"),
        *("%{d}.c_m", "é.test", "a.tést", "%{d²}", "a.b\n"),
    ],
)
def test_what_is_no_domain_spec(text: str) -> None:
    assert parse_domain_spec(text) is None


@pytest.mark.parametrize("text", ["%%", "%_", "a.%-", "%{d}", "x.xn--zckzah", "a.1-2", ".com"])
def test_what_is_a_domain_spec_though_it_looks_odd(text: str) -> None:
    assert parse_domain_spec(text) is not None


def test_modifiers_nobody_knows_must_be_macro_strings() -> None:
    for text in ("", "a", "%{c}", "man:dog/cat", "=", "postmaster%%"):
        assert is_macro_string(text)
    for text in ("%a", "a b", "\x80", "%{q}"):
        assert not is_macro_string(text)


@pytest.mark.parametrize("extra", range(6))
def test_a_name_too_long_loses_labels_on_its_left(extra: int) -> None:
    tail = ".".join(["x" * 49] * 5)  # 249 characters
    expanded = expand_domain(spec(f"{'y' * extra}.%{{d}}"), facts(), tail)
    assert expanded == (f"{'y' * extra}.{tail}" if extra <= 3 else tail)
    long = expand_domain(spec("%{d}." * 40 + "%{l}.test."), facts(), tail)
    assert long == f"{'.'.join(['x' * 49] * 4)}.strong-bad.test"


def test_a_name_of_just_253_characters_stays_whole() -> None:
    domain = ".".join(["x" * 49] * 5) + ".abc"
    assert len(domain) == 253
    assert expand_domain(spec("%{d}"), facts(), domain) == domain
    assert expand_domain(spec("yyyy.%{d}"), facts(), domain) == domain
    assert expand_domain(spec("y%{d}"), facts(), domain) == domain.partition(".")[2]
    assert expand_domain(spec("yy.y%{d}"), facts(), domain) == domain.partition(".")[2]


def test_a_label_too_long_for_any_name_leaves_nothing_of_it() -> None:
    assert expand_domain(spec("a.%{l}"), facts(sender="x" * 300 + "@tea.example"), DOMAIN) == ""


def test_letters_for_people_stand_only_in_explanations() -> None:
    parsed = parse_explanation("%{c} %{r} %{t}")
    assert parsed is not None
    assert expand_explanation(parsed, facts("2001:DB8::1"), DOMAIN) == (
        "2001:db8::1 mx.postern.test 1780000000"
    )


def test_nobody_can_make_expansion_long() -> None:
    text = "%{S127r.-+,/_=}" * 500
    parsed, worst = spec(text), facts(sender="a-" * 150 + "@tea.example")
    started = time.perf_counter()
    for _ in range(100):
        assert len(expand_domain(parsed, worst, DOMAIN)) <= 253
    assert time.perf_counter() - started < 1.0
