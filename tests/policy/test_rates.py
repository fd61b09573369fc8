"""How much mail comes: every limit, over hours."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from postern.mail.address import Address
from postern.mail.finding import Finding, Result, Whose
from postern.policy.rates import Rates, RateSettings
from postern.policy.rules.match import Facts
from postern.runtime.clock import FakeClock
from postern.runtime.ratetable import RateTable

WANG = Address("wang", "harbour.example")
LI = Address("li", "harbour.example")
FACTS = Facts(
    0.0,
    ip_address("198.51.100.24"),
    mail_from=Address("chen", "tea.example"),
    proven=frozenset({"tea.example"}),
)


class Gate:
    """Rates with a clock to move."""

    def __init__(self, settings: RateSettings) -> None:
        self.clock = FakeClock()
        self.rates = Rates(settings, RateTable(), self.clock)

    def messages(self, tries: int, facts: Facts = FACTS) -> int:
        """So many of these are taken."""
        return sum(self.rates.of_message(facts) is None for _ in range(tries))

    def recipients(self, tries: int, named: Address = WANG, facts: Facts = FACTS) -> int:
        return sum(self.rates.of_recipient(named, facts) is None for _ in range(tries))


def from_ip(ip: str) -> Facts:
    return replace(FACTS, ip=ip_address(ip))


def test_a_client_gets_its_messages_and_more_as_hours_pass() -> None:
    gate = Gate(RateSettings(messages_per_address=10))
    assert gate.messages(20) == 10
    assert gate.messages(3, from_ip("198.51.100.25")) == 3
    gate.clock.advance(720)
    assert gate.messages(20) == 2
    gate.clock.advance(86_400)
    assert gate.messages(20) == 10


def test_one_slash_64_is_one_client_and_one_slash_48_one_network() -> None:
    gate = Gate(RateSettings(messages_per_address=2, messages_per_network=3))
    assert gate.messages(3, from_ip("2001:db8:1:1::1")) == 2
    assert gate.messages(3, from_ip("2001:db8:1:1:ffff::2")) == 0
    assert gate.messages(3, from_ip("2001:db8:1:2::1")) == 1
    assert gate.messages(1, from_ip("2001:db8:2:1::1")) == 1


def test_a_network_counts_together_and_what_is_refused_counts_nowhere() -> None:
    gate = Gate(RateSettings(messages_per_network=3, messages_per_sender=4))
    assert gate.messages(5, from_ip("198.51.100.1")) == 3
    assert gate.messages(5, from_ip("198.51.100.200")) == 0
    # The two that the network was not allowed were not counted for the sender.
    assert gate.messages(5, from_ip("203.0.113.1")) == 1


def test_a_proven_domain_is_one_sender_and_a_liar_uses_up_nothing_of_it() -> None:
    gate = Gate(RateSettings(messages_per_sender=2))
    liar = replace(FACTS, proven=frozenset())
    assert gate.messages(5, liar) == 2
    other = replace(FACTS, mail_from=Address("ann", "tea.example"))
    assert gate.messages(1) + gate.messages(5, other) == 2


def test_the_null_sender_is_no_sender() -> None:
    gate = Gate(RateSettings(messages_per_sender=1, recipients_per_sender=1))
    null = replace(FACTS, mail_from=None)
    assert gate.messages(5, null) == 5
    assert gate.recipients(5, WANG, null) == 5


def test_recipients_are_counted_by_client_and_by_sender() -> None:
    gate = Gate(RateSettings(recipients_per_address=3, recipients_per_sender=5))
    assert gate.recipients(2, WANG) + gate.recipients(3, LI) == 3
    assert gate.recipients(5, WANG, from_ip("203.0.113.1")) == 2


def test_one_mailbox_is_not_buried_and_the_others_get_theirs() -> None:
    gate = Gate(RateSettings(messages_per_recipient=3))
    assert gate.recipients(5, WANG) == 3
    assert gate.recipients(2, Address("WANG", "harbour.example"), from_ip("203.0.113.1")) == 0
    assert gate.recipients(2, LI) == 2


@pytest.mark.parametrize(
    ("settings", "text", "whose"),
    [
        (
            RateSettings(messages_per_network=1),
            "no more than 1 messages an hour are taken from 198.51.100.0/24",
            Whose.SENDER,
        ),
        (
            RateSettings(90.0, messages_per_sender=1),
            "no more than 1 messages in 90 seconds are taken from @tea.example",
            Whose.SENDER,
        ),
    ],
)
def test_the_cause_names_who_and_how_much(settings: RateSettings, text: str, whose: Whose) -> None:
    gate = Gate(settings)
    gate.messages(1)
    assert gate.rates.of_message(FACTS) == Finding("rate.exceeded", Result.FAIL, text, whose)


def test_only_what_is_limited_is_counted() -> None:
    assert RateSettings().is_off
    assert not RateSettings(messages_per_recipient=1).is_off
