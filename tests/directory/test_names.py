"""One spelling for each name, and no folder that leaves its place."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.directory.model import HostPort
from postern.directory.names import (
    home_path,
    key_of,
    local_key,
    read_address,
    read_domain,
    read_host_port,
    without_tag,
)
from postern.mail.address import Address


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Harbour.Example", "harbour.example"),
        (" harbour.example. ", "harbour.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", None),
        ("[192.0.2.1]", None),
        ("two words.example", None),
        ("a..example", None),
        ("harbour.example\nx", None),
        ("", None),
        ("a" * 64 + ".example", None),
    ],
)
def test_domains_are_read_as_people_type_them(typed: str, name: str | None) -> None:
    assert read_domain(typed) == name


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("mail.customer.example:2525", HostPort("mail.customer.example", 2525)),
        ("Mail.Customer.example", HostPort("mail.customer.example", 25)),
        ("localhost:1025", HostPort("localhost", 1025)),
        ("192.0.2.1:26", HostPort("192.0.2.1", 26)),
        ("[2001:db8::1]:26", HostPort("2001:db8::1", 26)),
        ("[2001:db8::1]", HostPort("2001:db8::1", 25)),
        ("2001:db8::1", None),
        ("host:", None),
        ("host:0", None),
        ("host:65536", None),
        ("host:٢٥", None),
        (":25", None),
        ("host:25:26", None),
        ("[192.0.2.1]:25", None),
        ("ho st:25", None),
    ],
)
def test_hosts_and_ports_are_read_as_people_type_them(typed: str, place: HostPort | None) -> None:
    assert read_host_port(typed) == place


def test_bare_postmaster_is_an_address_and_other_bare_words_are_not() -> None:
    assert read_address(" Postmaster ") == Address("postmaster", "")
    assert read_address("wang") is None
    assert read_address("wang@harbour.example\r\nBcc: x@y.example") is None


def test_local_parts_are_equal_in_any_case_and_either_unicode_form() -> None:
    assert local_key("Wang") == "wang"
    assert local_key("M\u00dcLLER") == local_key("mu\u0308ller") == "m\u00fcller"
    assert key_of(Address("Wang", "harbour.example")) == Address("wang", "harbour.example")


@given(st.text(max_size=20))
def test_key_of_a_key_is_itself_and_agrees_with_the_address(text: str) -> None:
    assert local_key(local_key(text)) == local_key(text)
    assert Address(text, "a.example").key == f"{local_key(text)}@a.example"


@pytest.mark.parametrize(
    ("key", "separator", "base"),
    [
        ("wang+shop", "+", "wang"),
        ("wang+shop+more", "+", "wang"),
        ("wang+", "+", "wang"),
        ("+shop", "+", None),
        ("wang", "+", None),
        ("wang+shop", None, None),
        ("wang-shop", "-", "wang"),
    ],
)
def test_tags_are_what_follows_the_first_separator(
    key: str, separator: str | None, base: str | None
) -> None:
    assert without_tag(key, separator) == base


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("wang", "d.example/wang"),
        ("..", "d.example/%2E."),
        (".", "d.example/%2E"),
        (".hidden", "d.example/%2Ehidden"),
        ("a/../b", "d.example/a%2F..%2Fb"),
        ("100%", "d.example/100%25"),
        ("a\0b", "d.example/a%00b"),
        ("a\nb", "d.example/a%0Ab"),
        ("müller", "d.example/müller"),
        ("two words", "d.example/two words"),
    ],
)
def test_folders_are_readable_and_safe(key: str, folder: str) -> None:
    assert home_path("d.example", key) == folder


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_local_part_leaves_its_domain_or_meets_another(one: str, other: str) -> None:
    path = PurePosixPath(home_path("d.example", one))
    assert len(path.parts) == 2
    assert path.parts[0] == "d.example"
    assert path.parts[1] not in {"", ".", ".."}
    assert not set(path.parts[1]) & {"/", "\0", "\n", "\r"}
    assert (home_path("d.example", one) == home_path("d.example", other)) == (one == other)
