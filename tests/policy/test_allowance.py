"""How much an account may send: what is over it waits, and a spike is told from a busy day."""

import pytest

from postern.mail.address import Address
from postern.policy.allowance import DAY_S, Allowance, AllowanceSettings, Excess
from postern.runtime.clock import FakeClock
from postern.runtime.ratetable import RateTable

WANG = Address("wang", "harbour.example")
LI = Address("li", "harbour.example")


def allowance(clock: FakeClock, **most: int) -> Allowance:
    return Allowance(AllowanceSettings(**most), RateTable(), clock)


def take(of: Allowance, who: Address, recipients: int, first: int) -> list[Excess]:
    """What the recipients of one message exceed, ``first`` of them strangers."""
    found = of.take(who, [n < first for n in range(recipients)])
    assert len(found) == recipients
    return [excess for excess in found if excess is not None]


def test_what_is_allowed_passes_and_the_next_waits_its_part_of_a_day() -> None:
    clock = FakeClock()
    shop = allowance(clock, recipients=10)
    assert [take(shop, WANG, 1, 0) for _ in range(10)] == [[]] * 10
    (excess,) = take(shop, WANG, 1, 0)
    assert excess.wait_s == pytest.approx(DAY_S / 10)
    assert excess.text == "wang@harbour.example sends to more than 10 recipients a day"
    assert take(shop, LI, 1, 0) == []


def test_mail_over_the_limit_leaves_evenly_and_in_the_end_no_faster_than_allowed() -> None:
    clock = FakeClock()
    shop = allowance(clock, recipients=24)
    take(shop, WANG, 24, 0)
    waits = [excess.wait_s for _ in range(5) for excess in take(shop, WANG, 1, 0)]
    assert waits == pytest.approx([3600.0 * n for n in range(1, 6)])
    clock.advance(DAY_S)
    assert take(shop, WANG, 1, 0) == []


def test_strangers_count_for_themselves_and_a_domain_for_all_its_accounts() -> None:
    clock = FakeClock()
    first = allowance(clock, first_recipients=3)
    assert take(first, WANG, 100, 3) == []
    assert take(first, WANG, 100, 0) == []
    (excess,) = take(first, WANG, 1, 1)
    assert "for the first time" in excess.text
    together = allowance(clock, domain_recipients=2)
    assert take(together, WANG, 1, 0) == []
    assert take(together, LI, 1, 0) == []
    (excess,) = take(together, WANG, 1, 0)
    assert excess.text.startswith("harbour.example sends")


def test_the_longest_wait_counts() -> None:
    both = allowance(FakeClock(), recipients=10, first_recipients=1)
    take(both, WANG, 10, 1)
    (excess,) = take(both, WANG, 1, 1)
    assert excess.wait_s == pytest.approx(DAY_S)


def test_many_strangers_at_once_are_a_spike_and_the_same_number_over_a_day_is_none() -> None:
    clock = FakeClock()
    guarded = allowance(clock, spike_first_recipients=20)
    assert not any(guarded.is_spike(WANG, 5) for _ in range(4))
    assert guarded.is_spike(WANG, 1)
    assert not guarded.is_spike(LI, 5)
    assert guarded.is_spike(LI, 21)
    calm = allowance(clock, spike_first_recipients=20)
    for _ in range(50):
        assert not calm.is_spike(WANG, 5)
        clock.advance(600.0)


def test_an_account_that_a_person_thawed_is_not_frozen_at_once_again() -> None:
    guarded = allowance(FakeClock(), spike_first_recipients=20)
    assert guarded.is_spike(WANG, 21)
    assert guarded.is_spike(WANG, 1)
    guarded.forgive(WANG)
    assert not guarded.is_spike(WANG, 19)
    assert not guarded.is_spike(WANG, 1)
    assert guarded.is_spike(WANG, 1)


def test_nothing_is_limited_unless_it_is_set() -> None:
    free = allowance(FakeClock())
    assert free.is_off
    assert not free.tells_first
    assert take(free, WANG, 10_000, 10_000) == []
    assert not free.is_spike(WANG, 10_000)
