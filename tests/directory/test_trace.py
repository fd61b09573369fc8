"""Counters are handed out once, from blocks that were reserved first."""

import pytest

from postern.directory.store.site import SiteStore
from postern.directory.trace import LOW_WATER, TraceCounter
from postern.runtime.database.trouble import DatabaseTroubleError


def test_two_workers_never_hand_out_the_same_number(site: SiteStore) -> None:
    one, other = TraceCounter(site.reserve_counters), TraceCounter(site.reserve_counters)
    given = [counter.next() for _ in range(70_000) for counter in (one, other)]
    assert len(set(given)) == len(given)


def test_block_taken_ahead_is_used_before_a_new_one() -> None:
    blocks = [range(3), range(10, 13), range(20, 23)]
    counter = TraceCounter(lambda: blocks.pop(0))
    assert counter.next() == 0
    assert counter.runs_low
    counter.reserve_ahead()
    assert not counter.runs_low
    assert [counter.next() for _ in range(5)] == [1, 2, 10, 11, 12]
    assert len(blocks) == 1
    assert counter.next() == 20


def test_low_water_is_told_in_time() -> None:
    counter = TraceCounter(lambda: range(LOW_WATER + 2))
    counter.next()
    counter.next()
    assert not counter.runs_low
    counter.next()
    assert counter.runs_low


def test_database_trouble_stops_nobody_while_numbers_are_left() -> None:
    blocks = [range(2)]

    def reserve() -> range:
        if not blocks:
            raise DatabaseTroubleError("disk full")
        return blocks.pop()

    counter = TraceCounter(reserve)
    assert counter.next() == 0
    with pytest.raises(DatabaseTroubleError):
        counter.reserve_ahead()
    assert counter.next() == 1
    with pytest.raises(DatabaseTroubleError):
        counter.next()
