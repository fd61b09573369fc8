"""Outcomes become states, and what is to be told."""

from dataclasses import replace

from tests.queue.stage import DELIVERED, GREYLISTED, UNKNOWN
from tests.spool.mail import message

from postern.delivery.job import JobResult
from postern.journal.record import AttemptRecord
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred
from postern.mail.reply import reply
from postern.queue.retry import GREYLIST_TRIES
from postern.queue.settings import QueueSettings
from postern.queue.settle import give_up, last_outcome, settle
from postern.spool.message import DeliveryState, Message

PLAIN = QueueSettings()
NOW = 1_750_000_100.0


def attempt(*recipients: int, at: float = NOW) -> AttemptRecord:
    return AttemptRecord(at, "direct", "mx", "192.0.2.1", "", 0.1, "ok", "delivered", recipients)


def states(made: Message) -> list[DeliveryState]:
    return [d.state for d in made.deliveries]


def test_each_recipient_ends_by_its_own_outcome() -> None:
    made = message(1, "a@x.test", "b@x.test", "c@x.test")
    result = JobResult((DELIVERED, GREYLISTED, UNKNOWN), ())
    settled = settle(made, made.deliveries, result, NOW, PLAIN, 0.5)
    assert states(made) == [DeliveryState.DONE, DeliveryState.WAITING, DeliveryState.DONE]
    assert [d.end for d in made.deliveries] == ["delivered", "", "bounced"]
    assert made.deliveries[1].due == NOW + 315  # greylisted: five minutes, and a little
    assert [d.tries for d in made.deliveries] == [1, 1, 1]
    assert made.deliveries[2].last_reply == "550 5.1.1 no such user"
    assert (len(settled.delivered), len(settled.waiting), len(settled.failed)) == (1, 1, 1)
    assert settled.last == {}


def test_mail_that_may_have_arrived_waits_a_quarter_of_an_hour_at_least() -> None:
    made = message(1, "a@x.test")
    lost = Deferred(reply(451, "4.4.2", "cut off"), Cause.LOST_AFTER_DOT, "", Whose.BETWEEN)
    settle(made, made.deliveries, JobResult((lost,), ()), NOW, PLAIN, 0.5)
    assert made.deliveries[0].due == NOW + 900


def test_a_greylisted_message_comes_back_when_it_was_told_to_and_no_sooner() -> None:
    made = message(1, "a@x.test")
    named = replace(GREYLISTED, retry_after_s=120.0)
    settle(made, made.deliveries, JobResult((named,), ()), NOW, PLAIN, 0.0)
    assert made.deliveries[0].due == NOW + 120
    for tries in range(1, 10):
        made.deliveries[0].tries = tries
        settle(made, made.deliveries, JobResult((GREYLISTED,), ()), NOW, PLAIN, 0.0)
        waits_s = made.deliveries[0].due - NOW
        assert (waits_s == 300.0) is (
            tries < GREYLIST_TRIES
        )  # it grows only when that is of no use


def test_attempts_go_to_the_recipients_they_were_made_for() -> None:
    made = message(1, "a@x.test", "b@x.test")
    wild = attempt(0, 7, -1)
    result = JobResult((DELIVERED, DELIVERED), (attempt(1), attempt(), wild))
    settle(made, made.deliveries, result, NOW, PLAIN, 0.5)
    assert [len(d.attempts) for d in made.deliveries] == [2, 2]
    assert {a.recipients for a in made.deliveries[1].attempts} == {(1,)}


def test_what_is_deferred_past_its_expiry_fails_with_the_last_word() -> None:
    made = message(1, "a@x.test", expire_s=50.0)
    settled = settle(made, made.deliveries, JobResult((GREYLISTED,), ()), NOW, PLAIN, 0.5)
    ((delivery, outcome),) = settled.failed
    assert outcome.cause is Cause.EXPIRED
    assert "450 4.7.1 come back later" in str(outcome.reply)
    assert settled.last == {delivery.n: GREYLISTED}


def test_mail_given_up_without_a_try_tells_what_the_last_one_ended_with() -> None:
    made = message(1, "a@x.test")
    silent = Deferred(reply(451, "4.4.1", "no answer"), Cause.SILENT, "", Whose.BETWEEN)
    settle(made, made.deliveries, JobResult((silent,), ()), NOW, PLAIN, 0.5)
    settled = give_up(made.deliveries)
    assert states(made) == [DeliveryState.DONE]
    assert settled.last[0] == silent
    assert made.deliveries[0].tries == 1


def test_the_last_word_of_an_odd_row_is_still_a_reply() -> None:
    made = message(1, "a@x.test")
    for text in ("", "gibberish", "450", "450 no enhanced code here", "9999 1.2.3 x"):
        made.deliveries[0].last_reply = text
        assert 400 <= last_outcome(made.deliveries[0]).reply.code < 500


def test_what_arrives_in_the_junk_folder_is_told_so() -> None:
    made = message(1)
    made.deliveries[0].is_junk = True
    settle(made, made.deliveries, JobResult((DELIVERED,), ()), 1000.0, QueueSettings(), 0.5)
    assert made.deliveries[0].end == "junked"
    assert made.deliveries[0].has_arrived
