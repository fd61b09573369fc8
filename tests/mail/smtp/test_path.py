import pytest

from postern.mail.address import Address
from postern.mail.smtp.path import ParsedPath, PathError, parse_forward_path, parse_reverse_path

LI = Address("li", "tea.example")


def test_the_null_sender_is_no_address() -> None:
    assert parse_reverse_path(b"<>", smtputf8=False) == ParsedPath(None, b"")
    assert parse_reverse_path(b"<>  SIZE=1", smtputf8=False) == ParsedPath(None, b"SIZE=1")


def test_nobody_is_no_recipient() -> None:
    assert isinstance(parse_forward_path(b"<>", smtputf8=False), PathError)


def test_postmaster_is_a_recipient_without_a_domain_but_no_sender() -> None:
    expected = ParsedPath(Address("PostMaster", ""), b"NOTIFY=NEVER")
    assert parse_forward_path(b"<PostMaster> NOTIFY=NEVER", smtputf8=False) == expected
    assert isinstance(parse_reverse_path(b"<postmaster>", smtputf8=False), PathError)
    assert isinstance(parse_forward_path(b"<postmaster>x", smtputf8=False), PathError)


@pytest.mark.parametrize(
    ("raw", "rest"),
    [
        (b"<li@tea.example>", b""),
        (b"<li@TEA.example>  SIZE=1 BODY=7BIT", b"SIZE=1 BODY=7BIT"),
        (b"<@a.example,@b.example:li@tea.example> SIZE=1", b"SIZE=1"),
        (b"<@a.example:li@tea.example>", b""),
        (b'<"li"@tea.example>', b""),
    ],
)
def test_a_path_is_told_from_its_parameters(raw: bytes, rest: bytes) -> None:
    assert parse_reverse_path(raw, smtputf8=False) == ParsedPath(LI, rest)
    assert parse_forward_path(raw, smtputf8=False) == ParsedPath(LI, rest)


def test_a_quoted_local_part_may_hold_blanks_and_brackets() -> None:
    path = parse_reverse_path(b'<"a> b@c"@tea.example> SIZE=1', smtputf8=False)
    assert path == ParsedPath(Address("a> b@c", "tea.example"), b"SIZE=1")


def test_address_literals_are_domains() -> None:
    path = parse_forward_path(b"<li@[IPv6:2001:db8::0:1]>", smtputf8=False)
    assert path == ParsedPath(Address("li", "[IPv6:2001:db8::1]"), b"")


def test_beyond_ascii_only_with_smtputf8() -> None:
    raw = "<li@bücher.example>".encode()
    refused = parse_forward_path(raw, smtputf8=False)
    assert isinstance(refused, PathError)
    assert refused.needs_smtputf8
    accepted = parse_forward_path(raw, smtputf8=True)
    assert accepted == ParsedPath(Address("li", "xn--bcher-kva.example"), b"", international=True)


def test_a_path_of_256_bytes_is_the_longest() -> None:
    domain = b".".join([b"d" * 63] * 3)
    local = b"l" * (254 - len(domain) - 1)
    assert len(local) <= 64
    assert isinstance(parse_reverse_path(b"<%s@%s>" % (local, domain), smtputf8=False), ParsedPath)
    longer = b"<%s@%sd>" % (local, domain)
    assert isinstance(parse_reverse_path(longer, smtputf8=False), PathError)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"li@tea.example", "angle brackets"),
        (b"<li@tea.example", "closing >"),
        (b"<li@tea.example>SIZE=1", "right behind"),
        (b"<li>", "no @"),
        (b"<@tea.example>", "source route"),
        (b"<@bad_host.example:li@tea.example>", "source route"),
        (b"<@tea.example:>", "no @"),
        (b"<li@tea.example@x>", "not well formed|closing"),
        (b"<li@[999.0.0.1]>", "literal"),
        (b"<li@te_a.example>", "domain"),
        (b"<li\x00@tea.example>", "control"),
        (b"<li\x7f@tea.example>", "control"),
        (b'<"li\t"@tea.example>', "control"),
        (b"<li\xff@tea.example>", "UTF-8"),
        (b"<" + b"l" * 201 + b"@tea.example>", "200"),
        (b"<@" + b"a." * 120 + b"example:li@tea.example>", "256"),
    ],
)
def test_a_bad_path_is_refused_with_its_reason(raw: bytes, why: str) -> None:
    path = parse_reverse_path(raw, smtputf8=True)
    assert isinstance(path, PathError)
    assert any(word in path.text for word in why.split("|")), path.text


def test_hostile_paths_take_no_time() -> None:
    for raw in (
        b"<" + b"a-" * 1000 + b"@",
        b"<a@" + b"a-" * 1000 + b"!>",
        b"<" + b"a." * 1000 + b">",
        b'<"' + b"\\a" * 1000,
        b"<" + b"@a," * 600 + b":x@y>",
        b"<a@" + b"\xc3\xbc" * 1000 + b">",
    ):
        assert isinstance(parse_reverse_path(raw, smtputf8=True), PathError)
