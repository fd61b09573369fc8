import pytest

from postern.mail.authres.build import field
from postern.mail.authres.forged import forged_fields
from postern.mail.authres.methods import dmarc
from postern.mail.authres.results import AuthenticationResults
from postern.mail.message.header import HeaderScan, without

OURS = ("mx.host.example", "b\u00fccher.example")
REST = b"Subject: tea\r\n\r\nAuthentication-Results: mx.host.example; spf=pass\r\n"


def cleaned(data: bytes) -> bytes:
    return without(data, forged_fields(HeaderScan(data), OURS))


def is_removed(value: bytes, name: bytes = b"Authentication-Results:") -> bool:
    found = cleaned(b"Received: x\r\n" + name + value + b"\r\n" + REST)
    assert found.startswith(b"Received: x\r\n")
    assert found.endswith(REST)
    return found == b"Received: x\r\n" + REST


@pytest.mark.parametrize(
    "value",
    [
        b" mx.host.example; dmarc=pass",
        b"mx.host.example;dmarc=pass",
        b" MX.Host.EXAMPLE; dmarc=pass",
        b" mx.host.example.; dmarc=pass",
        b" .mx.host.example; dmarc=pass",
        b" mx.host.example 1; dmarc=pass",
        b" mx.host.example 2; dmarc=pass",
        b" mx.host.example (really) 1 (yes); dmarc=pass",
        b" (hidden) mx.host.example; dmarc=pass",
        b" (a (b) \\) c)\r\n\tmx.host.example\r\n\t; dmarc=pass",
        b'"mx.host.example"; dmarc=pass',
        b' "mx.ho\\st.example" ; dmarc=pass',
        b' " mx.host.example " ; dmarc=pass',
        b" mx.host.example",
        b" mx.host.example; none",
        b" mx.host.example;",
        "\tb\u00fccher.example; dmarc=pass".encode(),
        "\tB\u00dcCHER.example; dmarc=pass".encode(),
        "\tbu\u0308cher.example; dmarc=pass".encode(),
        b"\txn--bcher-kva.example; dmarc=pass",
        b"\tXN--BCHER-KVA.EXAMPLE; dmarc=pass",
        "\t\uff4d\uff58.host.example; dmarc=pass".encode(),  # full-width letters
        # Off the grammar, but some reader may find our name there.
        b" mx.host.example/1; dmarc=pass",
        b" mx.host.example:25; dmarc=pass",
        b" mx.host.example 1 1; dmarc=pass",
        b" mx.host.example, other.example; dmarc=pass",
        b" (no end; mx.host.example; dmarc=pass",
        b' "mx.host.example; dmarc=pass',
        b" by mx.host.example; dmarc=pass",
        b" ) mx.host.example; dmarc=pass",
        b" \x00mx.host.example; dmarc=pass",
        b" mx.host.example\n; dmarc=pass",
        # A version that nobody knows, from anybody (RFC 8601 §5).
        b" other.example 2; dmarc=pass",
        b" other.example 99999999999999; dmarc=pass",
    ],
)
def test_what_claims_to_be_ours_is_removed_whole(value: bytes) -> None:
    assert is_removed(value)
    assert is_removed(value, b"AUTHENTICATION-results \t:")


@pytest.mark.parametrize(
    "value",
    [
        b" other.example; dmarc=pass",
        b" other.example 1; dmarc=pass header.from=mx.host.example",
        b" other.example (checked by mx.host.example); dmarc=pass",
        b" evil.mx.host.example; dmarc=pass",
        b" mx.host.example.evil.test; dmarc=pass",
        b" amx.host.example; dmarc=pass",
        b" spf=pass smtp.mailfrom=tea.example; dkim=pass header.d=mx.host.example",
        b" \xff\xfe; dmarc=pass",
        b"",
        b" " + b"x" * 100_000 + b"; dmarc=pass",
    ],
)
def test_what_others_say_stays(value: bytes) -> None:
    assert not is_removed(value)


def test_only_this_field_is_meant() -> None:
    for name in (b"ARC-Authentication-Results:", b"X-Authentication-Results:", b"Comments:"):
        assert not is_removed(b" mx.host.example; dmarc=pass", name)


def test_all_forgeries_go_and_their_neighbours_stay() -> None:
    forged = field(AuthenticationResults("mx.host.example", (dmarc("pass"),)))
    other = field(AuthenticationResults("other.example", (dmarc("pass"),)))
    data = forged + other + forged + forged + b"From: a@b.example\r\n" + forged + REST
    assert cleaned(data) == other + b"From: a@b.example\r\n" + REST


def test_none_survives_behind_five_thousand_others() -> None:
    other = b"Authentication-Results: other.example; none\r\n"
    forged = b"Authentication-Results: mx.host.example; dmarc=pass\r\n"
    assert b"mx.host.example" not in cleaned(other * 5_100 + forged + b"\r\n")


def test_a_message_without_the_field_is_left_alone() -> None:
    assert forged_fields(HeaderScan(REST), OURS) == []
