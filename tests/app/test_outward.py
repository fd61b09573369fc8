"""What is our own host."""

import pytest

from postern.app.outward import is_this_host


@pytest.mark.parametrize(
    ("domain", "is_ours"),
    [
        ("mx.tea.test", True),
        ("tea.test", False),
        ("[192.0.2.25]", True),
        ("[IPv6:2001:db8::25]", True),
        ("[192.0.2.26]", False),
        ("192.0.2.25", False),
    ],
)
def test_this_host_is_its_name_and_its_address_literals(domain: str, *, is_ours: bool) -> None:
    owned = {"192.0.2.25", "2001:db8::25"}
    assert is_this_host("mx.tea.test", owned.__contains__, domain) is is_ours
