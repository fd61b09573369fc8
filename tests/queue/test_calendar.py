"""What is due when, by group."""

from postern.queue.calendar import Calendar


def test_each_group_comes_up_once_at_its_earliest_time() -> None:
    calendar = Calendar()
    assert calendar.note("a", 20.0)
    assert calendar.note("a", 10.0)
    assert not calendar.note("a", 15.0)
    assert not calendar.note("b", 12.0)
    assert calendar.next == 10.0
    assert list(calendar.pop(9.9)) == []
    assert list(calendar.pop(12.0)) == ["a", "b"]
    assert list(calendar.pop(30.0)) == []
    assert calendar.due("a") is None


def test_a_calendar_of_overtaken_entries_does_not_grow() -> None:
    calendar = Calendar()
    for turn in range(10_000):
        calendar.note("a", 1e9)
        calendar.note("a", float(turn))
        assert list(calendar.pop(float(turn))) == ["a"]
    assert len(calendar) < 200
