from dataclasses import replace
from pathlib import Path

import pytest

from postern.runtime.resolver.settings import (
    ResolverSettings,
    Server,
    Transport,
    system_resolver,
)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", Server("192.0.2.1", 53)),
        ("192.0.2.1:5353", Server("192.0.2.1", 5353)),
        ("2001:db8::1", Server("2001:db8::1", 53)),
        ("[2001:db8::1]", Server("2001:db8::1", 53)),
        ("[2001:db8::1]:853", Server("2001:db8::1", 853)),
    ],
)
def test_servers_are_read_with_and_without_port(text: str, server: Server) -> None:
    assert Server.parse(text) == server


@pytest.mark.parametrize(
    "text", ["", "dns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1]:x", "::1]:5"]
)
def test_what_is_no_server_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|address"):
        Server.parse(text)


def test_tls_has_its_own_port() -> None:
    settings = ResolverSettings.parse("home", ["192.0.2.1"], Transport.TLS)
    assert settings.servers == (Server("192.0.2.1", 853),)


def test_too_many_servers_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        ResolverSettings.parse("home", ["192.0.2.1"] * 9)


def test_system_resolver_reads_resolv_conf_and_skips_what_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nsearch example\nnameserver 192.0.2.53\nnameserver nonsense\n"
        "nameserver\n  nameserver   2001:db8::53  \noptions edns0\n"
    )
    assert system_resolver(path).servers == (Server("192.0.2.53", 53), Server("2001:db8::53", 53))


def test_a_machine_without_resolv_conf_has_no_servers(tmp_path: Path) -> None:
    assert system_resolver(tmp_path / "missing").servers == ()


@pytest.mark.parametrize(
    ("servers", "trusted", "expected"),
    [
        (["127.0.0.53"], None, True),
        (["127.0.0.1", "[::1]:5300"], None, True),
        (["127.0.0.1", "192.0.2.53"], None, False),
        (["192.0.2.53"], True, True),
        (["127.0.0.1"], False, False),
        ([], None, False),
    ],
)
def test_only_a_resolver_on_this_machine_is_trusted_unasked(
    servers: list[str],
    trusted: bool | None,  # noqa: FBT001 - parametrized
    expected: bool,  # noqa: FBT001 - parametrized
) -> None:
    settings = replace(ResolverSettings.parse("home", servers), trusted=trusted)
    assert settings.is_trusted is expected
