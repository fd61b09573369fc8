"""One table that forked processes count rates in."""

import os
import random

from postern.runtime.ratetable import RateTable

HOUR_S = 3600.0
NOW = 1000.0


def takes(table: RateTable, key: str, most: int, now: float, tries: int) -> int:
    """How many of so many tries are within the limit."""
    taken = 0
    for _ in range(tries):
        if not table.wait_s(key, most, HOUR_S, now):
            table.count(key, most, HOUR_S, now)
            taken += 1
    return taken


def test_so_many_come_at_once_and_the_rest_evenly_for_hours() -> None:
    table = RateTable()
    assert takes(table, "a", 60, NOW, 100) == 60
    assert takes(table, "b", 60, NOW, 1) == 1
    assert takes(table, "a", 60, NOW + 59, 10) == 0
    assert takes(table, "a", 60, NOW + 60, 10) == 1  # one a minute now
    assert takes(table, "a", 60, NOW + 600, 20) == 9
    assert takes(table, "a", 60, NOW + 600 + 5 * HOUR_S, 100) == 60


def test_the_wait_is_told_and_what_is_over_does_not_make_it_longer() -> None:
    table = RateTable()
    takes(table, "a", 3, NOW, 3)
    for _ in range(5):
        assert table.wait_s("a", 3, HOUR_S, NOW) == 1200.0
    assert table.wait_s("a", 3, HOUR_S, NOW + 1200.0) == 0.0


def test_a_forked_process_counts_in_the_same_table() -> None:
    table = RateTable()
    child = os.fork()
    if child == 0:
        os._exit(takes(table, "a", 60, NOW, 40))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 40
    assert takes(table, "a", 60, NOW, 40) == 20


def test_a_thousand_busy_keys_leave_the_others_alone() -> None:
    table = RateTable()
    for number in range(1000):
        takes(table, f"busy {number}", 10, NOW, 10)
    seed = random.Random(4)
    others = [f"calm {seed.getrandbits(64)}" for _ in range(10_000)]
    assert sum(bool(table.wait_s(key, 10, HOUR_S, NOW)) for key in others) == 0
