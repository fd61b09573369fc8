"""Sentences for people: near names and counted things."""

from postern.directory.wording import contents, counted, nearest


def test_nearest_name_is_offered_and_far_ones_are_not() -> None:
    assert nearest("wagn", ["li", "wang"], "a.example") == "; did you mean wang@a.example?"
    assert nearest("harbor.example", ["harbour.example"]) == "; did you mean harbour.example?"
    assert nearest("a", ["b", "c"], "a.example") == ""
    assert nearest("wang", []) == ""


def test_counted_things_agree_with_their_number() -> None:
    assert [counted(n, "alias") for n in (0, 1, 2)] == ["0 aliases", "1 alias", "2 aliases"]
    assert contents(1, 2) == "1 mailbox and 2 aliases"
