from tests.spool.mail import MIB, message

from postern.mail.address import Address
from postern.spool.holdings import Holdings, Pile
from postern.spool.message import Delivery
from postern.spool.settings import HoldSettings

WANG = Address("wang", "here.test")
NOW = 1_750_000_000.0


def hold(holdings: Holdings, size_bytes: int = 100, owner: Address = WANG) -> Delivery:
    (delivery,) = message(1, str(owner)).deliveries
    holdings.hold(delivery, owner, "rule.hold", size_bytes, NOW)
    return delivery


def test_messages_and_octets_have_a_bound_of_which_each_worker_takes_its_part() -> None:
    holdings = Holdings(HoldSettings(most_messages=120, most_bytes=200 * MIB, workers=2))
    for _ in range(59):
        hold(holdings, MIB)
    assert holdings.has_room(WANG.key, 41 * MIB)
    assert not holdings.has_room(WANG.key, 41 * MIB + 1)
    hold(holdings)
    assert not holdings.has_room(WANG.key, 1)
    assert holdings.has_room("li@here.test", 1)


def test_many_workers_leave_none_a_tiny_part() -> None:
    plain = HoldSettings(workers=64)
    assert (plain.worker_messages, plain.worker_bytes) == (50, 64 * MIB)
    small = HoldSettings(most_messages=6, most_bytes=1_000, workers=64)
    assert (small.worker_messages, small.worker_bytes) == (6, 1_000)


def test_one_message_may_be_held_however_small_the_bound() -> None:
    holdings = Holdings(HoldSettings(most_messages=1, most_bytes=10, workers=8))
    assert holdings.has_room(WANG.key, 10_000)
    hold(holdings, 10_000)
    assert not holdings.has_room(WANG.key, 1)


def test_who_is_near_the_bound_is_told_with_how_much_should_go() -> None:
    holdings = Holdings(HoldSettings(most_messages=10, most_bytes=10_000))
    for _ in range(9):
        hold(holdings)
    assert holdings.crowded() == {}
    hold(holdings)
    assert holdings.crowded() == {WANG.key: Pile(1, 1_000 - 9_000)}


def test_what_changes_during_a_recount_counts() -> None:
    holdings = Holdings(HoldSettings(most_messages=3))
    old = hold(holdings)
    holdings.begin_recount()
    hold(holdings)
    hold(holdings)
    holdings.let_go(old, 100)
    holdings.recounted({WANG.key: Pile(1, 100)})
    assert holdings.has_room(WANG.key, 1)
    hold(holdings)
    assert not holdings.has_room(WANG.key, 1)


def test_a_mailbox_of_which_nothing_is_held_costs_no_memory() -> None:
    holdings = Holdings(HoldSettings())
    for number in range(100):
        owner = Address(f"user{number}", "here.test")
        holdings.let_go(hold(holdings, owner=owner), 100)
    assert holdings._piles == {}
