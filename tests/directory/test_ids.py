"""Row ids sort by time and need no agreement between nodes."""

from postern.directory.ids import new_id
from postern.runtime.clock import FakeClock


def test_ids_sort_by_the_time_they_were_made_in() -> None:
    clock = FakeClock()
    made = []
    for _ in range(100):
        made.append(new_id(clock))
        clock.advance(0.002)
    assert made == sorted(made)
    assert {len(one) for one in made} == {26}


def test_ids_of_one_millisecond_differ() -> None:
    clock = FakeClock()
    assert len({new_id(clock) for _ in range(10_000)}) == 10_000
