import pytest

from postern.mail.dns import Answer, Question, Status
from postern.mail.spf.client import Client, parse_client


def client(ip: str) -> Client:
    parsed = parse_client(ip)
    assert parsed is not None
    return parsed


def test_an_ipv4_client() -> None:
    assert client("192.0.2.1") == Client(0xC0000201, 32, "192.0.2.1", "192.0.2.1")
    assert (client("192.0.2.1").version, client("192.0.2.1").record_type) == ("in-addr", "A")


def test_an_ipv6_client() -> None:
    parsed = client("2001:DB8::CB01%eth0")
    assert parsed.readable == "2001:db8::cb01"
    assert parsed.dotted == "2.0.0.1.0.D.B.8." + "0." * 20 + "C.B.0.1"
    assert (parsed.version, parsed.record_type) == ("ip6", "AAAA")


def test_an_ipv4_address_inside_ipv6_is_one() -> None:
    assert client("::ffff:192.0.2.1") == client("192.0.2.1")


@pytest.mark.parametrize("ip", ["", "localhost", "192.0.2", "192.0.2.256", "1::2::3", "%"])
def test_what_is_no_address(ip: str) -> None:
    assert parse_client(ip) is None


@pytest.mark.parametrize(
    ("ip", "records", "prefix", "is_among"),
    [
        ("192.0.2.1", ["192.0.2.1"], 32, True),
        ("192.0.2.1", ["192.0.2.0"], 32, False),
        ("192.0.2.1", ["192.0.2.0"], 31, True),
        ("192.0.2.1", ["203.0.113.1", "192.0.3.9"], 16, True),
        ("192.0.2.1", ["203.0.113.1"], 0, True),
        ("192.0.2.1", [], 0, False),
        ("192.0.2.1", ["2001:db8::1", "junk", "192.0.2.1.5"], 0, False),
        ("2001:db8::1", ["2001:DB8:0::1"], 128, True),
        ("2001:db8::1", ["2001:db8::2"], 128, False),
        ("2001:db8::1", ["2001:db8:ffff::"], 32, True),
        ("2001:db8::1", ["192.0.2.1"], 0, False),
    ],
)
def test_addresses_are_compared_by_their_first_bits(
    ip: str, records: list[str], prefix: int, *, is_among: bool
) -> None:
    answer = Answer(Question("tea.example", "A"), Status.OK, tuple(records))
    assert client(ip).is_among(answer, prefix) is is_among
