import pytest

from postern.mail.address import Address, parse_address
from postern.mail.spf.identity import Claim, Identity, identities


def test_helo_comes_first_and_speaks_as_postmaster() -> None:
    helo, mail_from = identities(Address("ann", "tea.example"), "mx.tea.example")
    assert helo == Claim(Identity.HELO, "mx.tea.example", "postmaster@mx.tea.example")
    assert mail_from == Claim(Identity.MAIL_FROM, "tea.example", "ann@tea.example")


def test_the_null_sender_is_postmaster_at_helo() -> None:
    helo, mail_from = identities(None, "mx.tea.example")
    assert mail_from.identity is Identity.MAIL_FROM
    assert (mail_from.domain, mail_from.sender) == (helo.domain, helo.sender)


@pytest.mark.parametrize("text", ['"a b"@tea.example', '"a@b"@tea.example'])
def test_a_quoted_local_part_stays_quoted(text: str) -> None:
    _, mail_from = identities(parse_address(text), "h")
    assert (mail_from.domain, mail_from.sender) == ("tea.example", text)
