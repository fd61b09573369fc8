"""One table that forked processes count in."""

import os

from postern.runtime.headcount import Headcount

PORT = "192.0.2.1"
BAY = "192.0.2.2"


def test_every_worker_sees_what_all_have() -> None:
    table = Headcount(3)
    assert table.change(0, PORT, 1) == (1, 1)
    assert table.change(2, PORT, 1) == (2, 2)
    assert table.change(1, BAY, 1) == (3, 1)
    assert table.change(2, PORT, -1) == (2, 1)


def test_a_forked_process_counts_in_the_same_table() -> None:
    table = Headcount(2)
    table.change(0, PORT, 1)
    child = os.fork()
    if child == 0:
        os._exit(table.change(1, PORT, 1)[1])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert table.change(0, PORT, 1) == (3, 3)


def test_what_an_ended_worker_had_is_forgotten_and_no_more() -> None:
    table = Headcount(2)
    table.change(0, PORT, 1)
    table.change(1, PORT, 1)
    table.change(1, BAY, 1)
    table.clear(1)
    assert table.change(0, PORT, 1) == (2, 2)
    assert table.change(0, BAY, 1) == (3, 1)


def test_the_whole_is_told_without_a_key() -> None:
    table = Headcount(2)
    table.change(0, PORT, 1)
    table.change(1, BAY, 1)
    assert table.in_all() == 2
