import pytest

from postern.mail.address import Address, normalise_domain, parse_address


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("li@tea.example", "li", "tea.example"),
        ("Li.Wei+news@Tea.Example", "Li.Wei+news", "tea.example"),
        ("!#$%&'*+/=?^_`{|}~-@x.example", "!#$%&'*+/=?^_`{|}~-", "x.example"),
        ('"two words"@x.example', "two words", "x.example"),
        (r'"a\"b\\c"@x.example', 'a"b\\c', "x.example"),
        ('"plain"@x.example', "plain", "x.example"),
        ('""@x.example', "", "x.example"),
        ("root@localhost", "root", "localhost"),
        ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
        ("a@[ipv6:2001:DB8:0::1]", "a", "[IPv6:2001:db8::1]"),
        ("li@münchen.example", "li", "xn--mnchen-3ya.example"),
        ("李@例え.example", "李", "xn--r8jz45g.example"),
        ("  li@tea.example. ", "li", "tea.example"),
    ],
)
def test_an_address_is_understood(text: str, local: str, domain: str) -> None:
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "li",
        "@tea.example",
        "li@",
        "li@@tea.example",
        "li@tea..example",
        "li@.example",
        "li@-tea.example",
        "li@tea-.example",
        "li@under_score.example",
        ".li@tea.example",
        "li.@tea.example",
        "l..i@tea.example",
        "two words@tea.example",
        "<li@tea.example>",
        "li@tea.example, wei@tea.example",
        "alice@example.org)bob@evil.example",
        '"open@tea.example',
        "li@[192.0.2.300]",
        "li@[IPv6:fe80::1%eth0]",
        "li@[x400:c=cn]",
        "li@tea.example\r\nBcc: x@y.example",
        "li\x00@tea.example",
        "li@tea\u2028.example",
        "l" * 201 + "@tea.example",
        "李" * 67 + "@tea.example",
        "li@" + "l" * 64 + ".example",
        "li@" + "a." * 127 + "example",
        "li@❤️\u202e.example",
    ],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("local", "written"),
    [
        ("li.wei", "li.wei@x.example"),
        ("two words", '"two words"@x.example'),
        (".li", '".li"@x.example'),
        ("a@b", '"a@b"@x.example'),
        ('say "hi"\\', r'"say \"hi\"\\"@x.example'),
        ("", '""@x.example'),
        ("李", "李@x.example"),
    ],
)
def test_a_local_part_is_quoted_only_where_it_must_be(local: str, written: str) -> None:
    address = Address(local, "x.example")
    assert str(address) == written
    assert parse_address(written) == address


def test_postmaster_needs_no_domain() -> None:
    assert str(Address("Postmaster", "")) == "Postmaster"
    assert Address("Postmaster", "").key == "postmaster"


def test_a_line_break_never_leaves_an_address() -> None:
    assert str(Address("a\r\nRCPT TO:<b", "x.example")) == '"a??RCPT TO:<b"@x.example'


def test_the_key_is_the_same_for_every_spelling() -> None:
    assert Address("Li.Wei", "x.example").key == "li.wei@x.example"
    composed, decomposed = Address("É", "x.example"), Address("E\u0301", "x.example")
    assert composed.key == decomposed.key == "é@x.example"


def test_what_an_address_needs_of_a_peer_is_known() -> None:
    assert Address("李", "x.example").needs_smtputf8
    assert not Address("li", "xn--r8jz45g.example").needs_smtputf8
    assert Address("li", "[192.0.2.1]").is_literal
    assert not Address("li", "x.example").is_literal


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Tea.Example.", "tea.example"),
        (" tea.example ", "tea.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        (
            "\uff54\uff45\uff41\u3002example",
            "tea.example",
        ),  # full width, as East Asian keyboards type
        ("", None),
        ("tea..example", None),
        ("[192.0.2.1]", None),
        ("tea example", None),
        ("te@.example", None),
        ("l" * 64 + ".example", None),
        ("ü" * 60 + ".example", None),
    ],
)
def test_a_domain_has_one_spelling(text: str, domain: str | None) -> None:
    assert normalise_domain(text) == domain
