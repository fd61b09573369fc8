"""The state of a group, in virtual time: engaged on evidence, taken back on proof, no flapping."""

from dataclasses import replace

import pytest

from postern.routing.paths import groups
from postern.routing.paths.groups import Evidence, GroupState, Knobs, Remedy, Standing
from postern.routing.routes.route import Policy

KNOBS = Knobs(retest_s=1800.0, good_tests=3, canaries=3)
DEAD = Evidence(3, 3, 5, 100.0, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
FIRST, UNASKED = "192.0.2.1", "192.0.2.4"


def relayed(now: float = 1000.0) -> Standing:
    return groups.engaged(Standing("google"), "01ROUTE", "us1", DEAD, now)


def run_tests(standing: Standing, start: float, results: str, step_s: float = 1800.0) -> Standing:
    """A test of one address each ``step_s``: ``+`` good, ``-`` bad."""
    for number, result in enumerate(results):
        now = start + number * step_s
        standing = groups.tested(standing, FIRST, now, KNOBS, is_good=result == "+")
    return standing


@pytest.mark.parametrize(
    ("evidence", "is_much"),
    [
        (Evidence(2, 2, 5, 0.0), False),
        (Evidence(3, 1, 5, 0.0), False),
        (Evidence(3, 2, 5, 0.0), True),
        (Evidence(3, 1, 1, 0.0), True),
        (Evidence(3, 1, 0, 0.0), False),
        (Evidence(9, 3, 5, 0.0, answers=True), False),
    ],
    ids=["two", "one-of-five", "two-of-five", "all-it-has", "not-known", "another-answers"],
)
def test_a_group_is_blocked_by_three_failures_at_two_addresses_or_all_it_has(
    evidence: Evidence, is_much: object
) -> None:
    assert evidence.is_much is is_much


def test_addresses_that_nobody_has_asked_are_given_the_time_to_answer() -> None:
    some = Evidence(3, 3, 5, 100.0)
    assert not some.is_enough(103.0)
    assert some.is_enough(103.5)
    with_relay = replace(some, relayed=True)
    assert not with_relay.is_enough(100.5)
    assert with_relay.is_enough(101.0)
    assert Evidence(5, 5, 5, 100.0).is_enough(100.0), "there are no others"
    assert not replace(some, answers=True).is_enough(200.0)


@pytest.mark.parametrize(
    ("policy", "relay", "expected"),
    [
        (Policy.AUTOMATIC, "us1", Remedy.ENGAGE),
        (Policy.AUTOMATIC, "", Remedy.NOTE),
        (Policy.PROPOSE, "us1", Remedy.PROPOSE),
        (Policy.PROPOSE, "", Remedy.NOTE),
        (Policy.NEVER, "us1", Remedy.NOTE),
    ],
    ids=["automatic", "no-relay", "propose", "nothing-to-propose", "never"],
)
def test_what_is_done_is_what_the_policy_allows(
    policy: Policy, relay: str, expected: Remedy
) -> None:
    assert groups.remedy(Standing("google"), policy, relay, 1000.0) is expected


def test_what_is_on_record_is_not_put_there_again() -> None:
    noted = groups.degraded(Standing("google"), DEAD, 1000.0, is_proposed=False)
    assert noted.state is GroupState.DEGRADED
    assert groups.remedy(noted, Policy.NEVER, "us1", 1001.0) is Remedy.NOTHING
    proposed = groups.degraded(noted, DEAD, 1001.0, is_proposed=True)
    assert proposed.since == 1000.0, "it has been so all the time"
    assert groups.remedy(proposed, Policy.PROPOSE, "us1", 1002.0) is Remedy.NOTHING
    assert groups.remedy(proposed, Policy.AUTOMATIC, "us1", 1002.0) is Remedy.ENGAGE
    assert groups.remedy(relayed(), Policy.AUTOMATIC, "us1", 1002.0) is Remedy.NOTHING


def test_the_relay_is_taken_back_after_good_tests_and_good_canaries() -> None:
    standing = run_tests(relayed(), 2000.0, "++")
    assert (standing.state, standing.good_tests) == (GroupState.RELAYED, 2)
    standing = run_tests(standing, 5600.0, "+")
    assert standing.state is GroupState.PROBING
    for number in range(3):
        assert not groups.is_proven(standing, KNOBS)
        claimed = groups.claim_canary(standing, 6000.0 + number)
        assert claimed is not None
        assert groups.claim_canary(claimed, 6001.0 + number) is None, "one at a time"
        standing = groups.canary_ended(claimed, 6001.0 + number, is_good=True)
    assert groups.is_proven(standing, KNOBS)
    back = groups.withdrawn(standing, 6010.0, KNOBS, by_person=False)
    assert (back.state, back.route, back.withdrawn_at) == (GroupState.DIRECT, "", 6010.0)


def test_a_path_that_fails_every_second_try_stays_relayed() -> None:
    standing = run_tests(relayed(), 2000.0, "+-" * 500)
    assert standing.state is GroupState.RELAYED
    assert standing.good_tests == 0


def test_good_tests_within_one_interval_count_once() -> None:
    standing = run_tests(relayed(), 2000.0, "+" * 50, step_s=1.0)
    assert standing.good_tests == 1
    assert groups.tested(standing, FIRST, 2060.0, KNOBS, is_good=True) is standing


def test_a_bad_test_begins_the_count_anew() -> None:
    standing = run_tests(relayed(), 2000.0, "++-++")
    assert (standing.state, standing.good_tests) == (GroupState.RELAYED, 2)


def test_an_address_nobody_had_asked_begins_the_trial_at_once() -> None:
    standing = groups.tested(relayed(), UNASKED, 1002.0, KNOBS, is_good=True)
    assert standing.state is GroupState.PROBING
    failed = groups.canary_ended(standing, 1003.0, is_good=False)
    assert failed.state is GroupState.RELAYED
    again = groups.tested(failed, UNASKED, 1004.0, KNOBS, is_good=True)
    assert again.state is GroupState.RELAYED, "it has been asked now"


def test_a_canary_that_fails_ends_the_trial_and_lengthens_the_way_back() -> None:
    standing = run_tests(relayed(), 2000.0, "+++")
    claimed = groups.claim_canary(standing, 6000.0)
    assert claimed is not None
    failed = groups.canary_ended(claimed, 6001.0, is_good=False)
    assert (failed.state, failed.good_tests, failed.canaries) == (GroupState.RELAYED, 0, 0)
    assert failed.interval_s(KNOBS) == 2 * KNOBS.retest_s
    halves = run_tests(failed, 8000.0, "+++++", step_s=1000.0)
    assert halves.good_tests < 5, "what comes within half the longer interval does not count"


def test_a_canary_that_told_nothing_makes_room_for_another() -> None:
    standing = groups.claim_canary(run_tests(relayed(), 2000.0, "+++"), 6000.0)
    assert standing is not None
    told = groups.canary_ended(standing, 6001.0, is_good=None)
    assert (told.state, told.canaries) == (GroupState.PROBING, 0)
    assert groups.claim_canary(told, 6001.0) is not None


def test_a_canary_whose_worker_was_killed_is_sent_by_another_after_a_while() -> None:
    standing = groups.claim_canary(run_tests(relayed(), 2000.0, "+++"), 6000.0)
    assert standing is not None
    assert groups.claim_canary(standing, 6000.0 + groups.CANARY_S) is not None


def test_blocked_again_soon_after_takes_longer_each_time_and_is_bounded() -> None:
    standing, now = relayed(), 1000.0
    intervals = []
    for _ in range(8):
        intervals.append(standing.interval_s(KNOBS))
        standing = groups.withdrawn(standing, now, KNOBS, by_person=False)
        now += 60
        standing = groups.engaged(standing, "01NEXT", "us1", DEAD, now)
    assert intervals[:5] == [1800.0, 3600.0, 7200.0, 14400.0, 28800.0]
    assert max(intervals) == 28800.0
    later = groups.withdrawn(standing, now, KNOBS, by_person=False)
    calm = groups.engaged(later, "01CALM", "us1", DEAD, now + groups.RELAPSE_S)
    assert calm.interval_s(KNOBS) == KNOBS.retest_s


def test_what_a_person_withdrew_is_not_engaged_until_asked_again() -> None:
    standing = groups.withdrawn(relayed(), 2000.0, KNOBS, by_person=True)
    assert groups.remedy(standing, Policy.AUTOMATIC, "us1", 2001.0) is Remedy.PROPOSE
    quiet = groups.degraded(standing, DEAD, 2001.0, is_proposed=True)
    assert groups.remedy(quiet, Policy.AUTOMATIC, "us1", 2002.0) is Remedy.NOTHING
    asked = groups.asked_again(quiet)
    assert groups.remedy(asked, Policy.AUTOMATIC, "us1", 2002.0) is Remedy.ENGAGE
    over = 2000.0 + KNOBS.quiet_s
    assert groups.remedy(quiet, Policy.AUTOMATIC, "us1", over) is Remedy.ENGAGE


def test_a_group_that_recovers_by_itself_is_direct_again() -> None:
    standing = groups.degraded(Standing("google"), DEAD, 1000.0, is_proposed=True)
    back = groups.recovered(standing, 1100.0)
    assert (back.state, back.is_proposed, back.evidence) == (GroupState.DIRECT, False, "")
    assert groups.recovered(relayed(), 1100.0).state is GroupState.RELAYED


def test_history_is_over_when_it_matters_no_more() -> None:
    now = 2000.0
    back = groups.withdrawn(relayed(), now, KNOBS, by_person=False)
    assert not back.is_history(now + groups.RELAPSE_S - 1)
    assert back.is_history(now + groups.RELAPSE_S)
    quiet = groups.withdrawn(relayed(), now, KNOBS, by_person=True)
    assert not quiet.is_history(now + KNOBS.quiet_s - 1)
    assert quiet.is_history(now + KNOBS.quiet_s)
    assert not replace(relayed(), withdrawn_at=0.0).is_history(now + 10 * KNOBS.quiet_s)


def test_the_evidence_says_how_many_of_how_many() -> None:
    assert DEAD.text() == "3 of 5 MX addresses do not answer"
    assert Evidence(3, 2, 0, 0.0, words="refuse the connection").text() == (
        "2 of 2 MX addresses refuse the connection"
    )
