"""What an MX group is given at a time follows from how it answers."""

import pytest
from tests.queue.stage import DELIVERED, GREYLISTED, SILENT, UNKNOWN

from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Outcome
from postern.mail.reply import reply
from postern.queue.pace import (
    LONGEST_PAUSE_S,
    MAX_REMEMBERED,
    QUICK_AGAIN,
    SHUT_AFTER,
    SLOW_FOR_S,
    Answer,
    Pace,
    Paces,
    answer_of,
)

TOO_MANY = Deferred(reply(421, "4.7.0", "too many connections"), Cause.REPLY, "mx.there.test")
NO_PTR = Deferred(reply(450, "4.7.25", "who are you"), Cause.REPLY, "mx.there.test")
FULL = Deferred(reply(452, "4.2.2", "mailbox full"), Cause.REPLY, "mx.there.test")
MISTRUSTED = Deferred(
    reply(451, "4.7.5", "another certificate than its policy demands"),
    Cause.TLS,
    whose=Whose.RECIPIENT,
)
STALLED = Deferred(reply(451, "4.7.5", "TLS stalls"), Cause.TLS, whose=Whose.BETWEEN)
OUR_DISK = Deferred(reply(451, "4.3.0", "our disk"), Cause.LOCAL)


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ([DELIVERED], Answer.GOOD),
        ([UNKNOWN], Answer.GOOD),
        ([FULL], Answer.GOOD),  # one mailbox says nothing of the server
        ([GREYLISTED], Answer.GOOD),
        ([TOO_MANY], Answer.THROTTLED),
        ([NO_PTR], Answer.THROTTLED),
        ([DELIVERED, TOO_MANY], Answer.THROTTLED),
        ([SILENT], Answer.NETWORK),
        ([DELIVERED, SILENT], Answer.GOOD),  # it broke off later than some recipients
        ([SILENT, DELIVERED], Answer.GOOD),
        ([OUR_DISK], Answer.NOTHING),
        ([STALLED], Answer.NETWORK),
        ([MISTRUSTED], Answer.NOTHING),  # what one domain demands says nothing of the others
        ([MISTRUSTED, SILENT], Answer.NETWORK),
        ([], Answer.NOTHING),
    ],
)
def test_what_an_attempt_tells_of_its_group(outcomes: list[Outcome], answer: Answer) -> None:
    assert answer_of(outcomes) is answer


def test_what_is_demanded_of_a_relay_holds_for_all_its_mail() -> None:
    assert answer_of([MISTRUSTED], "relay:us1") is Answer.NETWORK


def test_it_begins_small_and_doubles_each_round_until_the_first_setback() -> None:
    pace = Pace()
    rounds = []
    for _ in range(5):
        for _ in range(int(pace.allowed)):
            pace.went_well(25)
        rounds.append(int(pace.allowed))
    assert rounds == [4, 8, 16, 25, 25]


def test_after_a_setback_it_has_half_and_grows_by_one_a_round() -> None:
    pace = Pace(allowed=16.0)
    pace.met_setback(began=5.0, now=6.0)
    assert pace.allowed == 8.0
    for _ in range(9):
        pace.went_well(25)
    assert 8.9 < pace.allowed < 9.1


def test_sessions_that_failed_together_count_as_one_setback() -> None:
    pace = Pace(allowed=16.0)
    for _ in range(16):
        pace.met_setback(began=5.0, now=6.0)
    assert pace.allowed == 8.0
    pace.met_setback(began=7.0, now=8.0)
    assert pace.allowed == 4.0
    for turn in range(9, 20):
        pace.met_setback(began=float(turn), now=float(turn))
    assert pace.allowed == 1.0


def test_three_failures_in_a_row_shut_a_group_and_an_answer_between_does_not() -> None:
    pace = Pace()
    for _ in range(SHUT_AFTER - 1):
        assert not pace.failed(10.0, "no answer")
    pace.went_well(25)
    for _ in range(SHUT_AFTER - 1):
        assert not pace.failed(20.0, "no answer")
    assert pace.failed(20.0, "no answer")
    assert pace.is_shut


def test_the_pauses_of_a_shut_group_grow_to_five_minutes() -> None:
    pace = Pace()
    pace.shut(0.0)
    pauses, now = [], 0.0
    for _ in range(12):
        pauses.append(pace.probe_at - now)
        now = pace.probe_at
        pace.failed(now, "no answer")
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert pace.open()
    assert not pace.open()
    pace.shut(now)
    assert pace.probe_at - now == 2.0


def test_sessions_that_were_open_when_it_was_shut_do_not_lengthen_its_pauses() -> None:
    pace = Pace()
    pace.shut(100.0)
    for _ in range(20):
        pace.failed(101.0, "reset")
    assert pace.probe_at == 102.0
    for _ in range(20):
        pace.failed(120.0, "no answer")  # silent ones end together, much later
    assert pace.probe_at == 124.0


def test_a_slow_group_is_quick_again_after_some_quick_sessions_or_a_day() -> None:
    pace = Pace()
    pace.was_slow(100.0)
    assert pace.is_slow(100.0 + SLOW_FOR_S - 1)
    assert not pace.is_slow(100.0 + SLOW_FOR_S)
    for _ in range(QUICK_AGAIN - 1):
        pace.went_well(25)
    assert pace.is_slow(101.0)
    pace.went_well(25)
    assert not pace.is_slow(101.0)


def test_what_is_remembered_is_bounded_and_the_latest_stay() -> None:
    paces = Paces()
    paces.of("first").was_slow(1.0)
    for number in range(MAX_REMEMBERED + 10):
        paces.of(f"g{number}")
        paces.of("first")
    assert paces.of("first").is_slow(2.0)
    assert paces.known("g0") is None
    assert len(paces._paces) == MAX_REMEMBERED
